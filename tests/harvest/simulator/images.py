"""Pixels and EXIF of simulated photographs."""

import io

import numpy as np
from PIL import ExifTags, Image

SIZE = (160, 120)


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)), np.float64)


def exif_tags(data: bytes) -> dict[int, object]:
    exif = Image.open(io.BytesIO(data)).getexif()
    return dict(exif) | dict(exif.get_ifd(ExifTags.IFD.Exif))
