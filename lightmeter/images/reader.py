"""Opening photographs: eight-bit pixels of any kind of file, and how they still have to be turned.

Everything that looks at pixels reads them here, so that filters, thumbnails, exports, training, prediction and servers
see the same picture. The picture of a RAW file is its preview of full size. Pillow alone clips more than eight bits at
white, shows fractions as black, cannot convert CIELab, and turns TIFF and HEIF while loading but no other format. This
module needs numpy and Pillow alone and is copied into model archives.
"""

import io
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from .formats import RAW_FORMAT, UnsupportedFile, picture_bytes, why_unidentified
from .tiff import read_directories

FORMATS = (
    "JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM", "ICO",
)  # fmt: skip
"""Accepted formats. Pillow reads more, some of them with the help of external programs."""

_TURNED_BY_DECODER = frozenset({"TIFF", "HEIF"})
_DEPTH, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_WHITE_IS_ZERO, _UNSIGNED = 0, 1
_WIDE_MODES = ("I", "F")
_PILLOW_GLOBALS = threading.RLock()

MAX_DECODING_BYTES = 1_500_000_000
"""Memory that decoding one photograph may take, unless a setting says otherwise."""

_STORED_BYTES = {"1": 1, "L": 1, "P": 1}  # per pixel in Pillow; 2 for 16 bits, 4 for everything else
_CONVERSION_BYTES = {"L": 0, "RGB": 0, "1": 1, "LA": 1, "La": 5, "P": 8, "PA": 8}  # to eight bits; 4 for other modes
_WIDE_CONVERSION_BYTES = 10
_DECODER_BYTES = {"WEBP": 12, "AVIF": 6, "HEIF": 6}
_JPEG_2000_BYTES, _COEFFICIENT_BYTES = 5, 2  # per component

Floats = NDArray[np.float32]

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(source: bytes | Path, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Open an image without decoding its pixels; its header may be wrong.

    Pillow's own limit of pixels does not apply; the caller checks the size. A RAW file gives its preview of full size,
    with the format ``RAW``.

    Args:
        source: The content of a file, or its path.
        formats: Accepted formats; those that Pillow lacks are ignored.

    Raises:
        PIL.UnidentifiedImageError: The file is no image of these formats; the message is a short reason. Decoders of
            damaged files raise nearly anything else.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        picture = picture_bytes(data)
        image = _open(io.BytesIO(picture), _openable(tuple(formats)))
    except UnsupportedFile as error:
        raise UnidentifiedImageError(str(error)) from None
    except UnidentifiedImageError:
        raise UnidentifiedImageError(why_unidentified(data)) from None
    if picture is not data and image.format in ("JPEG", "MPO"):
        _describe_raw(image, data)
    return image


def decoding_bytes(image: Image.Image) -> int:
    """Return about how much memory decoding an opened image and converting it to eight bits takes.

    The numbers were measured with Pillow 13 on pictures of 20 megapixels. JPEG 2000 keeps each component in 32 bits,
    and a progressive JPEG all its coefficients.
    """
    wide = image.mode.startswith(_WIDE_MODES)
    stored = _STORED_BYTES.get(image.mode, 2 if image.mode.startswith("I;16") else 4)
    conversion = _WIDE_CONVERSION_BYTES if wide else _CONVERSION_BYTES.get(image.mode, 4)
    decoder: float = _DECODER_BYTES.get(image.format or "", 0)
    if image.format == "JPEG2000":
        decoder = _JPEG_2000_BYTES * len(image.getbands())
    elif image.info.get("progressive"):
        decoder = _COEFFICIENT_BYTES * _samples_per_pixel(image)
    return int(image.width * image.height * (stored + conversion + decoder))


def to_eight_bit(image: Image.Image) -> Image.Image:
    """Return an image of any mode as ``L`` or ``RGB``; the image itself if it is so already.

    Transparency is dropped. Sixteen bits are divided by 257, or by the depth that a TIFF states. Integers of 32 bits
    that fit into 8 or 16 bits are taken as such. Fractions from 0 to 1 are multiplied by 255, up to 255 they are
    taken as they are. Any other range is mapped to 0 to 255. NaN is black.

    Args:
        image: An image opened with Pillow; its pixels are decoded if they are not yet. A crop has another range than
            the whole photograph, so convert before cropping.
    """
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith(_WIDE_MODES):
        return _wide_to_eight_bit(image)
    if image.mode in ("1", "LA"):
        return image.convert("L")
    if image.mode == "La":
        return image.convert("LA").convert("L")
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    if image.mode in ("P", "PA", "RGBa"):  # Pillow converts some of them by way of RGBA only
        image = image.convert("RGBA")
    return image.convert("RGB")


def pixel_orientation(image: Image.Image, stored: int | None = None) -> int:
    """Return the EXIF orientation that the decoded pixels of an image still have: 1 if they are upright.

    Only the file itself turns its pixels; what a source says of a photograph does not.

    Args:
        image: An image opened with Pillow.
        stored: Orientation that another reader found in the EXIF of this file, where Pillow finds none.
    """
    if image.format in _TURNED_BY_DECODER:
        return 1
    orientation = None
    with suppress(Exception):  # readers of damaged EXIF raise nearly anything
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    candidates = (value for value in (orientation, stored) if isinstance(value, int) and 1 <= value <= 8)
    return next(candidates, 1)


def display_image(
    source: bytes | Path | Image.Image, side: int | None = None, stored: int | None = None
) -> Image.Image:
    """Return a photograph as people see it: upright, with eight bits, in sRGB, no larger than needed.

    The image has no metadata.

    Args:
        source: The content of a file, its path, or an image opened with Pillow.
        side: Maximum width and height in pixels (default: the photograph's own).
        stored: As for `pixel_orientation`.

    Raises:
        OSError: The file cannot be decoded.
    """
    image = source if isinstance(source, Image.Image) else open_image(source)
    if side:
        image.draft("RGB", (2 * side, 2 * side))  # JPEG: decode at a fraction of the size
    try:
        image.load()
    except (MemoryError, OSError):
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise OSError(f"damaged file: {error}") from error
    orientation = pixel_orientation(image, stored)
    pixels = _to_srgb(image)
    if side and max(pixels.size) > side:
        pixels = pixels.copy() if pixels is image else pixels
        pixels.thumbnail((side, side))
    method = _TRANSPOSITIONS.get(orientation)
    pixels = pixels if method is None else pixels.transpose(method)
    pixels.info = {}  # Pillow stores comments in the files that it writes
    return pixels


def _open(file: io.BytesIO, formats: list[str]) -> Image.Image:
    with _PILLOW_GLOBALS, warnings.catch_warnings(action="ignore"):
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _describe_raw(image: Image.Image, data: bytes) -> None:
    """Give the preview of a RAW file the format and, if it has none itself, the orientation of the file."""
    image.format = RAW_FORMAT
    field = read_directories(data).get("IFD0", {}).get(ExifTags.Base.Orientation)
    exif = image.getexif()
    if field is not None and field.integers() and ExifTags.Base.Orientation not in exif:
        exif[ExifTags.Base.Orientation] = field.integers()[0]


def _samples_per_pixel(image: Image.Image) -> float:
    """Return how many samples a JPEG stores for each pixel: 3, or fewer with chroma subsampling."""
    factors = [(int(horizontal), int(vertical)) for _, horizontal, vertical, *_ in getattr(image, "layer", [])]
    largest = max((horizontal for horizontal, _ in factors), default=1) * max((item for _, item in factors), default=1)
    return sum(horizontal * vertical for horizontal, vertical in factors) / max(largest, 1)


@cache
def _openable(formats: tuple[str, ...]) -> list[str]:
    """Return the formats that can be opened here; HEIF if pillow-heif is installed."""
    Image.init()
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return [name for name in formats if name in Image.OPEN]


def _wide_to_eight_bit(image: Image.Image) -> Image.Image:
    """Convert an image of one channel with 16 or 32 bits."""
    image.load()
    stored = np.asarray(image)
    if image.mode == "I" and _tiff_tag(image, _SAMPLE_FORMAT, default=0) == _UNSIGNED:
        stored = stored.view(np.uint32)  # Pillow reads unsigned numbers as signed ones
    values = stored.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        highest = values[finite].max(initial=0.0)
        values = np.nan_to_num(values, copy=False, nan=0.0, posinf=highest, neginf=0.0)
    black, white = _integer_levels(image, values) if stored.dtype.kind in "iu" else _fraction_levels(values)
    values -= black
    values *= 255 / (white - black)
    levels = values.round(out=values).clip(0, 255, out=values).astype(np.uint8)
    if _tiff_tag(image, _PHOTOMETRIC, default=1) == _WHITE_IS_ZERO:
        levels = 255 - levels
    return Image.fromarray(levels)


def _integer_levels(image: Image.Image, values: Floats) -> tuple[float, float]:
    """Return the numbers that are black and white in an image of integers."""
    lowest, highest = float(values.min()), float(values.max())
    if lowest < 0:
        return lowest, highest
    if highest <= 255:
        return 0.0, 255.0
    if image.mode.startswith("I;16"):
        return 0.0, 2.0 ** _tiff_tag(image, _DEPTH, default=16) - 1
    return 0.0, next((white for white in (4095.0, 65535.0) if highest <= white), highest)


def _fraction_levels(values: Floats) -> tuple[float, float]:
    """Return the numbers that are black and white in an image of floating-point numbers.

    Resampling and editing leave numbers a little beyond the range of an image, which are clipped.
    """
    lowest, highest = float(values.min()), float(values.max())
    if lowest < -highest / 10:
        return lowest, max(highest, lowest + 1e-6)
    whites = ((2.0, 1.0), (16.0, highest), (280.0, 255.0), (4096.0, highest), (72000.0, 65535.0))
    return 0.0, next((white for limit, white in whites if highest <= limit), highest)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    """Convert CIELab, which Pillow converts by colour management only."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return image.getchannel("L") if converted is None else converted


def _to_srgb(image: Image.Image) -> Image.Image:
    """Return eight-bit pixels in sRGB, by the embedded profile if it fits them."""
    profile = image.info.get("icc_profile")
    pixels = image if image.mode == "CMYK" and profile else to_eight_bit(image)
    if profile:
        with suppress(ImportError, OSError, ValueError, TypeError, ImageCms.PyCMSError):
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(pixels, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
            pixels = pixels if converted is None else converted
    return to_eight_bit(pixels)


def _tiff_tag(image: Image.Image, tag: int, *, default: int) -> int:
    """Return a whole number of a TIFF's header; the default for other files and damaged tags."""
    value = getattr(image, "tag_v2", {}).get(tag, default)
    number = value[0] if isinstance(value, tuple) and value else value
    return number if isinstance(number, int) else default
