"""One photograph in every format, depth and orientation: the same face, perceptual hash and crop."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lightmeter.harvest.filters.faces import crop
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect, load_filters
from lightmeter.images.geometry import ORIENTATION_TAG, Box, Size, to_display, upright
from lightmeter.images.reader import display_image, open_image
from tests.support import encode_image

Pixels = NDArray[np.uint8]
INVERSE = {6: 8, 8: 6}  # the other orientations undo themselves
SIZE = Size(403, 301)  # odd sides: halving must treat both ends alike


@cache
def portrait() -> Pixels:
    """Return a drawn face, left of the middle, that the network takes for one."""
    image = Image.new("RGB", SIZE, (120, 140, 150))
    draw = ImageDraw.Draw(image)

    def ellipse(x: float, y: float, width: float, height: float, colour: tuple[int, int, int]) -> None:
        draw.ellipse((170 + x - width, 150 + y - height, 170 + x + width, 150 + y + height), fill=colour)

    draw.rectangle((144, 200, 196, 300), fill=(205, 160, 135))
    draw.rectangle((300, 20, 380, 120), fill=(60, 70, 160))
    ellipse(0, -8, 62, 80, (60, 40, 30))
    ellipse(0, 6, 52, 68, (224, 180, 155))
    ellipse(0, -58, 50, 24, (60, 40, 30))
    for side in (-1, 1):
        ellipse(22 * side, -26, 13, 2, (70, 45, 35))
        ellipse(22 * side, -12, 11, 6, (245, 245, 245))
        ellipse(22 * side, -12, 5, 6, (40, 25, 15))
        ellipse(7 * side, 20, 4, 3, (150, 100, 85))
    ellipse(0, 42, 20, 6, (180, 80, 80))
    ellipse(0, 42, 20, 1, (110, 40, 45))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.6)))


def pillow(kind: str, mode: str = "RGB", **options: object) -> Callable[[Pixels, int], bytes]:
    """Return an encoder of Pillow: pixels and their Orientation to a file."""

    def encode(pixels: Pixels, orientation: int) -> bytes:
        if kind == "HEIF":
            pytest.importorskip("pillow_heif").register_heif_opener()
        image = Image.fromarray(pixels)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        elif mode == "F":
            image = Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255)
        elif mode != "RGB":
            image = image.quantize(256) if mode == "P" else image.convert(mode)
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = orientation
        return encode_image(image, kind, exif=exif.tobytes(), **options)

    return encode


def png_of_16_bits(pixels: Pixels, orientation: int) -> bytes:
    """Return a PNG of three channels with 16 bits, which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels.astype(np.uint16) * 257)
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, ORIENTATION_TAG, 3, 1, orientation, 0, 0)
    chunks = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        chunk(b"eXIf", exif), chunk(b"IDAT", zlib.compress(rows, 1)), chunk(b"IEND", b""),
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff_of_16_bits(pixels: Pixels, orientation: int) -> bytes:
    """Return a TIFF of three channels with 16 bits, which Pillow cannot write."""
    height, width = pixels.shape[:2]
    content = (pixels.astype(np.uint16) * 257).astype("<u2").tobytes()
    fields = {
        256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, 1), 262: (3, 2), 273: (4, 14),
        ORIENTATION_TAG: (3, orientation), 277: (3, 3), 278: (4, height), 279: (4, len(content)),
    }  # fmt: skip
    directory = struct.pack("<H", len(fields))
    for tag, (kind, value) in sorted(fields.items()):
        directory += struct.pack("<HHII", tag, kind, 3 if tag == 258 else 1, value)
    start = 14 + len(content)
    return b"II*\0" + struct.pack("<I", start) + struct.pack("<HHH", 16, 16, 16) + content + directory + b"\0" * 4


def heif_of_16_bits(pixels: Pixels, orientation: int) -> bytes:
    """Return a HEIF of more than eight bits."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    exif, out = Image.Exif(), io.BytesIO()
    exif[ORIENTATION_TAG] = orientation
    content = (pixels.astype(np.uint16) * 257).tobytes()
    file = pillow_heif.from_bytes("RGB;16", pixels.shape[1::-1], content)
    file.save(out, quality=95, exif=exif.tobytes())
    return out.getvalue()


ENCODERS: dict[str, Callable[[Pixels, int], bytes]] = {
    "JPEG": pillow("JPEG", quality=95),
    "JPEG, grey": pillow("JPEG", "L", quality=95),
    "JPEG, CMYK": pillow("JPEG", "CMYK", quality=95),
    "PNG": pillow("PNG"),
    "PNG, palette": pillow("PNG", "P"),
    "PNG, transparent": pillow("PNG", "RGBA"),
    "PNG, 16 bits, grey": pillow("PNG", "I;16"),
    "PNG, 16 bits": png_of_16_bits,
    "WebP": pillow("WEBP", quality=95),
    "WebP, lossless": pillow("WEBP", lossless=True, quality=0, method=0),
    "AVIF": pillow("AVIF", quality=95, speed=10),
    "TIFF": pillow("TIFF"),
    "TIFF, palette": pillow("TIFF", "P"),
    "TIFF, CMYK": pillow("TIFF", "CMYK"),
    "TIFF, 16 bits, grey": pillow("TIFF", "I;16"),
    "TIFF, 16 bits": tiff_of_16_bits,
    "TIFF, fractions, grey": pillow("TIFF", "F"),
    "HEIF": pillow("HEIF", quality=95),
    "HEIF, 16 bits": heif_of_16_bits,
}
CONTAINERS = ("JPEG", "PNG", "WebP", "AVIF", "TIFF", "HEIF")
"""Encodings that are tested in each orientation; the others differ in their pixels alone."""
LOSSLESS = {name for name in ENCODERS if name.startswith(("PNG", "TIFF", "WebP, ")) and "palette" not in name}


PLAN = InspectionPlan(tuple(load_filters({}, ["duplicates", "faces"])))


@dataclass(frozen=True)
class Seen:
    """What a file shows, in display coordinates."""

    face: Box
    phash: int
    crop: Image.Image
    shown: Image.Image


def look_at(data: bytes) -> Seen:
    """Return the face, hash and crop of a file, and the picture that people see."""
    result = inspect(data, PLAN)
    assert result.problem is None
    (face,) = result.results["faces"].detections
    orientation = result.exif.values.orientation or 1
    with open_image(data) as image:
        cut = crop(DecodedImage(image, orientation), face.box, 0.3)
    box = to_display(face.box, Size(result.width, result.height), orientation)
    return Seen(box, int(result.results["duplicates"].measures["phash"], 16), Image.fromarray(cut), display_image(data))


@cache
def reference(mode: str) -> Seen:
    return look_at(encode_image(Image.fromarray(portrait()).convert(mode), "PNG"))


@pytest.mark.parametrize("encoding", ENCODERS)
def test_photograph_is_the_same_in_each_format_depth_and_orientation(encoding: str) -> None:
    expected = reference("L" if "grey" in encoding else "RGB")
    tolerance = 0 if encoding in LOSSLESS else 1
    for orientation in range(1, 9) if encoding in CONTAINERS else (3, 6):
        stored = upright(portrait(), INVERSE.get(orientation, orientation))
        result = look_at(ENCODERS[encoding](np.ascontiguousarray(stored), orientation))
        assert np.abs(np.subtract(result.face, expected.face)).max() <= tolerance
        assert (result.phash ^ expected.phash).bit_count() <= 2 * tolerance
        assert difference(result.crop.resize(expected.crop.size), expected.crop) <= 3 * tolerance
        assert result.shown.size == expected.shown.size
        assert difference(result.shown, expected.shown) <= tolerance


def difference(first: Image.Image, second: Image.Image) -> float:
    pixels = [np.asarray(image.convert("RGB"), dtype=int) for image in (first, second)]
    return float(np.abs(pixels[0] - pixels[1]).mean())
