"""Photographs with EXIF."""

import io

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from tests.serve.support import make_photo


def photo_with_exif(orientation: int = 1) -> bytes:
    """Return a JPEG of 1/250 s, f/2.8, ISO 400 and 35 mm."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769).update({0x829A: IFDRational(1, 250), 0x829D: 2.8, 0x8827: 400, 0x920A: 35.0})
    file = io.BytesIO()
    Image.open(io.BytesIO(make_photo())).save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()
