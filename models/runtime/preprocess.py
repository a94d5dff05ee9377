"""From the bytes of a photograph to the input of a network.

Traces of how a photograph was made are pixel-level, so patches are taken at native resolution and never resized. They
are taken from the stored image: the EXIF orientation is not applied, because the tag is missing or wrong in too many
files and because the traces (noise, the direction of a shake, the readout) follow the sensor's own axes.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from ...images.geometry import Box
from ...images.pixel_statistics import jpeg_quality
from ...images.reader import MAX_DECODING_BYTES, decoding_bytes, open_image, to_eight_bit
from .exif_features import Tags, exif_features, exif_ifd
from .measures import measure
from .spec import PatchSelection, Preprocessing
from .stages import stage

_BAD_REQUEST, _NOT_FOUND, _TOO_LARGE, _NOT_AN_IMAGE, _UNUSABLE = 400, 404, 413, 415, 422
_TILES, _TILE_SIZE = 64, 64  # from which the measures are computed
_CANDIDATES = 4  # patches examined for each one selected
_MIN_SATURATION, _DARK, _LIGHT = 0.05, 20, 235  # the last two are levels of 255
_RECORDED_SIZE = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
_PLASTIC = 1.324717957244746  # the real root of x³ = x + 1

Photo = bytes | str | Path | Image.Image
"""A photograph: the bytes of its file, its path, or an image opened with Pillow."""


class InvalidPhoto(ValueError):
    """A photograph that cannot be decoded or used.

    Attributes:
        status: HTTP status: 400 empty, damaged or unreadable, 404 no such file, 413 too large, 415 not an image, 422
            unusable image.
        reason: One sentence.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type["InvalidPhoto"], tuple[int, str]]:
        """Let a process return the exception to another."""
        return type(self), (self.status, self.reason)


class FileHeader(NamedTuple):
    """What the header of a file says about its pixels.

    Attributes:
        jpeg_quality: Quality at which libjpeg writes its tables; None for other files.
        stored: Shorter and longer side in pixels.
        recorded: The same as the camera recorded them in EXIF; None if it did not.
    """

    jpeg_quality: int | None
    stored: tuple[int, int]
    recorded: tuple[float, float] | None


@dataclass(frozen=True)
class ModelInput:
    """A preprocessed photograph.

    Attributes:
        width: Width of the stored image in pixels.
        height: Height of the stored image in pixels.
        inputs: Arrays by name: ``patches`` is uint8 of shape (K, 3, S, S), ``view`` uint8 of shape (3, V, V),
            ``measures`` float32 of shape (M,), ``exif`` float32 as returned by `exif_features`.
        header: What the file's header says; None if unknown.
    """

    width: int
    height: int
    inputs: Mapping[str, NDArray[Any]] = field(repr=False)
    header: FileHeader | None = None


def preprocess(photo: Photo, settings: Preprocessing, box: Box | None = None, exif: Tags | None = None) -> ModelInput:
    """Decode a photograph and compute the inputs of a network; the same bytes give the same inputs.

    Args:
        photo: The bytes of a file, its path, or an image opened with Pillow.
        settings: Which inputs to compute.
        box: The part of the photograph to use, in stored pixels (default: all of it).
        exif: EXIF tags that replace those of the file.

    Raises:
        InvalidPhoto: The photograph cannot be decoded or used.
    """
    with stage("decode"):
        whole = photo if isinstance(photo, Image.Image) else _decode(photo, settings)
    with stage("preprocess"):
        return _inputs(whole, settings, box, exif)


def _inputs(whole: Image.Image, settings: Preprocessing, box: Box | None, exif: Tags | None) -> ModelInput:
    """Compute the inputs of a network; see `preprocess`."""
    pixels = to_eight_bit(whole)
    image = _crop(pixels, box) if box else pixels
    width, height = image.size
    if min(width, height) < settings.min_side:
        raise InvalidPhoto(
            _UNUSABLE, f"The image is {width} × {height} pixels; the minimum side is {settings.min_side}."
        )
    inputs: dict[str, NDArray[Any]] = {}
    if settings.patches:
        inputs["patches"] = _SELECTIONS[settings.patch_selection](image, settings.patches, settings.patch_size)
    if settings.measures:
        inputs["measures"] = measure(_uniform_patches(image, _TILES, _TILE_SIZE))
    if settings.exif:
        inputs["exif"] = _exif(whole, settings.exif, exif or {})
    if settings.view_size:
        size = (settings.view_size, settings.view_size)
        inputs["view"] = _channels_first(_to_rgb(image).resize(size, Image.Resampling.BOX))
    return ModelInput(width, height, inputs, _header(whole))


def empty_inputs(settings: Preprocessing, photographs: int) -> dict[str, NDArray[Any]]:
    """Return the inputs of black photographs by name, as `preprocess` returns them for one."""
    inputs: dict[str, NDArray[Any]] = {}
    if settings.patches:
        shape = (photographs, settings.patches, 3, settings.patch_size, settings.patch_size)
        inputs["patches"] = np.zeros(shape, np.uint8)
    if settings.measures:
        inputs["measures"] = np.zeros((photographs, settings.measure_count), np.float32)
    if settings.exif:
        inputs["exif"] = np.zeros((photographs, sum(map(len, settings.exif_columns.values()))), np.float32)
    if settings.view_size:
        inputs["view"] = np.zeros((photographs, 3, settings.view_size, settings.view_size), np.uint8)
    return inputs


def patch_positions(width: int, height: int, count: int, size: int) -> list[tuple[int, int]]:
    """Return the upper left corners of patches, evenly spread over an image.

    The corners follow the R2 sequence (M. Roberts, 2018, "The unreasonable effectiveness of quasirandom
    sequences"): any number of them is well spread, and a shorter list is the beginning of a longer one.

    Args:
        width: Width of the image in pixels, at least ``size``.
        height: Height of the image in pixels, at least ``size``.
        count: Number of patches.
        size: Side of a patch in pixels.
    """
    steps = np.arange(1, count + 1)
    x = (0.5 + steps / _PLASTIC) % 1.0
    y = (0.5 + steps / _PLASTIC**2) % 1.0
    lefts = np.floor(x * (width - size + 1)).astype(int)
    tops = np.floor(y * (height - size + 1)).astype(int)
    return list(zip(lefts.tolist(), tops.tolist(), strict=True))


def read_photo(file: Path, max_bytes: int) -> bytes:
    """Return the content of a file.

    Args:
        file: Path of a photograph.
        max_bytes: Larger files are rejected unread.

    Raises:
        InvalidPhoto: There is no such file, or it cannot be read.
    """
    try:
        if not file.is_file():
            raise InvalidPhoto(_NOT_FOUND, "It is not a file." if file.exists() else "There is no such file.")
        size = file.stat().st_size
        if size > max_bytes:
            raise InvalidPhoto(_TOO_LARGE, f"The file has {size} bytes; the maximum is {max_bytes}.")
        return file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with NUL
        if isinstance(error, InvalidPhoto):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InvalidPhoto(_BAD_REQUEST, f"The file cannot be read ({reason}).") from error


def _decode(photo: bytes | str | Path, settings: Preprocessing) -> Image.Image:
    data = photo if isinstance(photo, bytes) else read_photo(Path(photo), settings.max_bytes)
    if not data:
        raise InvalidPhoto(_BAD_REQUEST, "The file is empty.")
    if len(data) > settings.max_bytes:
        raise InvalidPhoto(_TOO_LARGE, f"The file has {len(data)} bytes; the maximum is {settings.max_bytes}.")
    try:
        image = open_image(data)
        _check_header(image, settings.max_pixels)
        image.load()
    except InvalidPhoto:
        raise
    except Image.DecompressionBombError as error:
        raise InvalidPhoto(_TOO_LARGE, "The image has too many pixels.") from error
    except UnidentifiedImageError as error:
        raise InvalidPhoto(_NOT_AN_IMAGE, f"The file is not a supported image ({error}).") from error
    except Exception as error:  # decoders of hostile files raise nearly anything
        raise InvalidPhoto(_BAD_REQUEST, f"The image is damaged and cannot be decoded ({error}).") from error
    return image


def _check_header(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise InvalidPhoto(_TOO_LARGE, f"The image has {width} × {height} pixels; the maximum is {max_pixels}.")
    if decoding_bytes(image) > MAX_DECODING_BYTES:
        needed, limit = decoding_bytes(image) // 1_000_000, MAX_DECODING_BYTES // 1_000_000
        raise InvalidPhoto(_TOO_LARGE, f"Decoding the image would take {needed} MB; the maximum is {limit} MB.")


def _exif(image: Image.Image, tags: Sequence[str], overrides: Tags) -> NDArray[np.float32]:
    try:
        return exif_features(image, tags, overrides)
    except ValueError as error:
        raise InvalidPhoto(_BAD_REQUEST, str(error)) from error


def _header(image: Image.Image) -> FileHeader:
    recorded = None
    with suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        exif = exif_ifd(image)
        shorter, longer = sorted(float(exif[tag]) for tag in _RECORDED_SIZE)
        recorded = (shorter, longer) if shorter > 0 else None
    stored = (min(image.size), max(image.size))
    return FileHeader(jpeg_quality(getattr(image, "quantization", None)), stored, recorded)


def _crop(image: Image.Image, box: Box) -> Image.Image:
    left, top, width, height = box
    right, bottom = left + width, top + height
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise InvalidPhoto(_UNUSABLE, f"The crop {list(box)} is not within {image.width} × {image.height} pixels.")
    return image.crop((left, top, right, bottom))


def _uniform_patches(image: Image.Image, count: int, size: int) -> NDArray[np.uint8]:
    image = _pad(image, size)
    return np.stack(
        [
            _channels_first(_to_rgb(image.crop((left, top, left + size, top + size))))
            for left, top in patch_positions(*image.size, count, size)
        ]
    )


def _coloured_patches(image: Image.Image, count: int, size: int) -> NDArray[np.uint8]:
    """Return patches that are not grey and have no nearly black or white pixel, as borders have.

    If there are too few, patches are repeated.
    """
    image = _pad(image, size)
    pixels = np.asarray(_to_rgb(image))
    corners = np.asarray(patch_positions(*image.size, count * _CANDIDATES, size))
    offsets = np.arange(size)
    x, y = corners[:, 0, None, None] + offsets[None, None], corners[:, 1, None, None] + offsets[None, :, None]
    patches = pixels[y, x].transpose(0, 3, 1, 2)
    colours = patches.mean((2, 3))
    highest, lowest = colours.max(1), colours.min(1)
    darkest, lightest = patches.max(1).min((1, 2)), patches.min(1).max((1, 2))
    saturated = highest - lowest >= _MIN_SATURATION * np.maximum(highest, 1)
    usable = saturated & (darkest >= _DARK) & (lightest <= _LIGHT)
    indices = np.flatnonzero(usable) if usable.any() else np.arange(len(patches))
    return np.ascontiguousarray(patches[np.resize(indices, count)])


def _informative_patches(image: Image.Image, count: int, size: int) -> NDArray[np.uint8]:
    """Return the smoothest and the roughest patches that are neither nearly black nor white, half and half."""
    patches = _uniform_patches(image, count * _CANDIDATES, size)
    green = patches[:, 1].astype(np.float32)  # contributes most to brightness
    level = green.mean((1, 2))
    roughness = np.abs(np.diff(green, axis=1)).mean((1, 2)) + np.abs(np.diff(green, axis=2)).mean((1, 2))
    usable = (level >= _DARK) & (level <= _LIGHT)
    indices = np.flatnonzero(usable) if usable.any() else np.arange(len(patches))
    order = np.resize(indices[np.argsort(roughness[indices], kind="stable")], max(count, len(indices)))
    smooth = count // 2
    return np.ascontiguousarray(patches[np.concatenate([order[:smooth], order[smooth - count :]])])


_SELECTIONS: dict[PatchSelection, Callable[[Image.Image, int, int], NDArray[np.uint8]]] = {
    "uniform": _uniform_patches,
    "coloured": _coloured_patches,
    "informative": _informative_patches,
}


def _pad(image: Image.Image, size: int) -> Image.Image:
    """Pad an image that is smaller than a patch by reflection, which preserves noise and sharpness."""
    if min(image.size) >= size:
        return image
    pixels = np.asarray(_to_rgb(image))
    height, width = pixels.shape[:2]
    missing = ((0, max(0, size - height)), (0, max(0, size - width)), (0, 0))
    return Image.fromarray(np.pad(pixels, missing, mode="symmetric"))


def _to_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _channels_first(image: Image.Image) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
