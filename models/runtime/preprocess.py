"""From the bytes of a photograph to what a network is given.

How a photograph was made shows in its pixels at native resolution, so patches are cut and never resized.
They are cut from the picture as it is stored: the EXIF orientation is not applied, because the tag is
missing or wrong in too many files, and because the traces looked for (noise, the direction of a shake, the
readout) belong to the sensor's own axes.
"""

import io
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .exif_features import Tags, tag_values
from .measures import measure
from .spec import PatchSelection, Preprocessing

Image.init()
FORMATS: list[str] = [
    name for name in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000") if name in Image.OPEN
]

_EMPTY_OR_DAMAGED, _TOO_LARGE, _NO_IMAGE, _UNUSABLE = 400, 413, 415, 422
_TILES, _TILE_SIZE = 64, 64  # of which measures are taken
_CANDIDATES = 4  # patches looked at for one that is kept
_GREY, _DARK, _LIGHT = 0.05, 20, 235  # saturation, and levels of 255
_PLASTIC = 1.324717957244746  # the real root of x³ = x + 1
_WARNINGS = threading.Lock()


Box = tuple[int, int, int, int]
"""A part of a picture: left, top, width and height in pixels as they are stored."""


class InvalidPhoto(ValueError):
    """A photograph cannot be read.

    Attributes:
        status: as HTTP says it: 400 empty or damaged, 413 too large, 415 no image, 422 an image of no use.
        reason: one sentence.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class ModelInput:
    """A photograph as a network sees it.

    Attributes:
        width: of the stored picture, in pixels.
        height: likewise.
        inputs: by name; ``patches`` is uint8 of shape (K, 3, S, S), ``view`` uint8 of shape (3, V, V), ``measures``
            float32 of shape (M,), ``exif`` float32, as `tags.tag_values` has it.
    """

    width: int
    height: int
    inputs: Mapping[str, NDArray[Any]] = field(repr=False)


def preprocess(data: bytes, settings: Preprocessing, box: Box | None = None, exif: Tags | None = None) -> ModelInput:
    """Decode a photograph and cut from it what the settings ask for; the same bytes give the same pixels.

    Args:
        data: the bytes of its file.
        settings: what is asked for.
        box: the part that is meant, a face for example; None for all of it.
        exif: tags that are told beside the file; they win over those in it.

    Raises:
        PhotographError: if it cannot be read or used.
    """
    whole = _decoded(data, settings)
    image = _part(whole, box) if box else whole
    width, height = image.size
    if min(width, height) < settings.smallest_side:
        raise InvalidPhoto(
            _UNUSABLE,
            f"The picture is {width} × {height} pixels; the least side is {settings.smallest_side}.",
        )
    inputs: dict[str, NDArray[Any]] = {}
    if settings.patches:
        inputs["patches"] = _CUTS[settings.choice](image, settings.patches, settings.patch_size)
    if settings.measures:
        inputs["measures"] = measure(_patches(image, _TILES, _TILE_SIZE))
    if settings.exif:
        inputs["exif"] = _tags(whole, settings.exif, exif or {})
    if settings.view:
        inputs["view"] = _channels_first(_rgb(image).resize((settings.view, settings.view), Image.Resampling.BOX))
    return ModelInput(width, height, inputs)


def patch_positions(width: int, height: int, count: int, size: int) -> list[tuple[int, int]]:
    """Return the upper left corners of patches, evenly spread over a picture.

    The corners follow the R2 sequence (M. Roberts, 2018, "The unreasonable effectiveness of quasirandom
    sequences"): any number of them is well spread, and fewer are the beginning of more.

    Args:
        width: of the picture in pixels, at least ``size``.
        height: likewise.
        count: number of patches.
        size: their side in pixels.
    """
    steps = np.arange(1, count + 1)
    across = (0.5 + steps / _PLASTIC) % 1.0
    down = (0.5 + steps / _PLASTIC**2) % 1.0
    lefts = np.floor(across * (width - size + 1)).astype(int)
    tops = np.floor(down * (height - size + 1)).astype(int)
    return list(zip(lefts.tolist(), tops.tolist(), strict=True))


def open_image(data: bytes) -> Image.Image:
    """Return a picture of which no more than the header was read; what it says of itself may be wrong."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data), formats=FORMATS)


def _decoded(data: bytes, settings: Preprocessing) -> Image.Image:
    if not data:
        raise InvalidPhoto(_EMPTY_OR_DAMAGED, "The file is empty.")
    if len(data) > settings.max_bytes:
        raise InvalidPhoto(_TOO_LARGE, f"The file has {len(data)} bytes; at most {settings.max_bytes} are read.")
    try:
        image = open_image(data)
        _check_claim(image, settings.max_pixels)
        image.load()
    except InvalidPhoto:
        raise
    except Image.DecompressionBombError as error:
        raise InvalidPhoto(_TOO_LARGE, "The picture claims more pixels than are decoded.") from error
    except UnidentifiedImageError as error:
        raise InvalidPhoto(_NO_IMAGE, "The file is no image in a format that is read.") from error
    except Exception as error:  # decoders of hostile files raise nearly anything
        raise InvalidPhoto(_EMPTY_OR_DAMAGED, f"The picture is damaged and cannot be decoded ({error}).") from error
    return image


def _tags(image: Image.Image, wanted: Sequence[str], told: Tags) -> NDArray[np.float32]:
    try:
        return tag_values(image, wanted, told)
    except ValueError as error:
        raise InvalidPhoto(_EMPTY_OR_DAMAGED, str(error)) from error


def _check_claim(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise InvalidPhoto(
            _TOO_LARGE, f"The picture claims {width} × {height} pixels; at most {max_pixels} are decoded."
        )


def _part(image: Image.Image, box: Box) -> Image.Image:
    left, top, width, height = box
    right, bottom = left + width, top + height
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise InvalidPhoto(_UNUSABLE, f"The part {list(box)} is not within {image.width} × {image.height} pixels.")
    return image.crop((left, top, right, bottom))


def _patches(image: Image.Image, count: int, size: int) -> NDArray[np.uint8]:
    if min(image.size) < size:
        image = _mirrored(image, size)
    return np.stack(
        [
            _channels_first(_rgb(image.crop((left, top, left + size, top + size))))
            for left, top in patch_positions(*image.size, count, size)
        ]
    )


def _coloured(image: Image.Image, count: int, size: int) -> NDArray[np.uint8]:
    """Cut patches that are not grey and of which no pixel is nearly black or white, as those of borders are.

    Where there are too few, some are taken twice.
    """
    if min(image.size) < size:
        image = _mirrored(image, size)
    pixels = np.asarray(_rgb(image))
    corners = np.asarray(patch_positions(*image.size, count * _CANDIDATES, size))
    inside = np.arange(size)
    across, down = corners[:, 0, None, None] + inside[None, None], corners[:, 1, None, None] + inside[None, :, None]
    patches = pixels[down, across].transpose(0, 3, 1, 2)
    colours = patches.mean((2, 3))
    most, least = colours.max(1), colours.min(1)
    darkest, lightest = patches.max(1).min((1, 2)), patches.min(1).max((1, 2))
    usable = (most - least >= _GREY * np.maximum(most, 1)) & (darkest >= _DARK) & (lightest <= _LIGHT)
    kept = np.flatnonzero(usable) if usable.any() else np.arange(len(patches))
    return np.ascontiguousarray(patches[np.resize(kept, count)])


def _informative(image: Image.Image, count: int, size: int) -> NDArray[np.uint8]:
    """Cut the smoothest and the roughest patches that are neither nearly black nor white, half and half."""
    patches = _patches(image, count * _CANDIDATES, size)
    grey = patches[:, 1].astype(np.float32)  # green, which is most of what is seen as brightness
    level = grey.mean((1, 2))
    rough = np.abs(np.diff(grey, axis=1)).mean((1, 2)) + np.abs(np.diff(grey, axis=2)).mean((1, 2))
    usable = (level >= _DARK) & (level <= _LIGHT)
    kept = np.flatnonzero(usable) if usable.any() else np.arange(len(patches))
    order = np.resize(kept[np.argsort(rough[kept], kind="stable")], max(count, len(kept)))
    smoothest = count // 2
    return np.ascontiguousarray(patches[np.concatenate([order[:smoothest], order[smoothest - count :]])])


_CUTS: dict[PatchSelection, Callable[[Image.Image, int, int], NDArray[np.uint8]]] = {
    "spread": _patches,
    "coloured": _coloured,
    "informative": _informative,
}


def _mirrored(image: Image.Image, size: int) -> Image.Image:
    """Return a picture that is smaller than a patch continued by its mirror image, as noisy and as sharp."""
    pixels = np.asarray(_rgb(image))
    height, width = pixels.shape[:2]
    missing = ((0, max(0, size - height)), (0, max(0, size - width)), (0, 0))
    return Image.fromarray(np.pad(pixels, missing, mode="symmetric"))


def _rgb(image: Image.Image) -> Image.Image:
    """Return a picture with eight bits of red, green and blue; transparency is dropped."""
    if image.mode.startswith(("I", "F")):  # 16 bits and more: the upper eight count
        values = np.asarray(image).astype(np.float64)
        image = Image.fromarray((values / max(256.0, (values.max() + 1) / 256)).clip(0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _channels_first(image: Image.Image) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
