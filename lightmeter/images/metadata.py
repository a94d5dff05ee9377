"""Removing metadata from image files without touching their pixels.

What remains is what a decoder needs, the orientation and the colour profile. Everything else is removed: EXIF,
MakerNotes, thumbnails and other embedded pictures, IPTC, XMP, comments, and bytes behind the end of the picture. JPEG,
PNG, WebP, GIF and TIFF are copied part by part. Other formats, and files that cannot be taken apart, are decoded and
stored losslessly. This module needs numpy and Pillow alone and is copied into model archives.
"""

import hashlib
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from PIL import Image

from .formats import picture_bytes
from .geometry import ORIENTATION_TAG
from .reader import open_image, pixel_orientation, to_eight_bit
from .tiff_rewriting import rewrite_tiff

PNG_MODES = ("1", "L", "LA", "I;16", "I;16B", "P", "RGB", "RGBA")
"""Modes of Pillow that a PNG stores as they are."""

_TIFF_MODES = ("CMYK", "YCbCr", "LAB", "I", "F")

_JPEG_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_END_OF_SCAN = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_JPEG_TABLES = frozenset({*range(0xC0, 0xD0), *range(0xDB, 0xE0)})  # frames, Huffman and quantisation tables, restarts
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without content
_APP0, _APP2, _APP14, _START_OF_SCAN, _END_OF_IMAGE = 0xE0, 0xE2, 0xEE, 0xDA, 0xD9
_JPEG_PROFILE, _MAX_SEGMENT = b"ICC_PROFILE\0", 65_533

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD pHYs acTL fcTL fdAT".split()
)
_MAX_PROFILE_BYTES = 1 << 24

_WEBP_CHUNKS = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})
_WEBP_PROFILE, _WEBP_EXIF, _WEBP_XMP = 0x20, 0x08, 0x04
_FRAME_HEADER = 16

_GIF_LOOPS = b"NETSCAPE2.0"

Part = bytes | memoryview


class StrippedFile(NamedTuple):
    """An image file without metadata.

    Attributes:
        data: Content of the file.
        format: Format by Pillow's name; another one than before if the file had to be converted.
    """

    data: bytes
    format: str


def strip_metadata(data: bytes) -> StrippedFile:
    """Return an image file without metadata except orientation and colour profile; its pixels are the same.

    A RAW file gives its preview of full size, a TIFF of several pages its first page. Formats other than JPEG, PNG,
    WebP, GIF and TIFF become a lossless PNG, or a TIFF if PNG cannot hold the pixels.

    Args:
        data: Content of an image file.

    Raises:
        OSError: The file cannot be decoded.
    """
    with open_image(data) as image:
        stored, orientation = image.format or "", pixel_orientation(image)
    name = "JPEG" if stored in ("JPEG", "MPO", "RAW") else stored
    strip = _STRIPPERS.get(name)
    picture = picture_bytes(data) if stored == "RAW" else data
    stripped = strip(picture, orientation) if strip else None
    return _converted(data) if stripped is None else StrippedFile(stripped, name)


def lossless(image: Image.Image, orientation: int = 1) -> StrippedFile:
    """Return decoded pixels as a lossless PNG with orientation and colour profile; TIFF if PNG cannot hold the pixels.

    Args:
        image: Decoded image.
        orientation: EXIF orientation of its pixels.
    """
    profile = image.info.get("icc_profile")
    pixels = image.copy()  # without the tags that Pillow copies from one TIFF to another
    pixels.info = {key: value for key, value in image.info.items() if key == "transparency"}
    if pixels.mode == "I" and not np.any(np.asarray(pixels) >> 16):  # also true of negative numbers
        pixels = pixels.convert("I;16")
    exif, output = Image.Exif(), io.BytesIO()
    exif[ORIENTATION_TAG] = orientation
    if pixels.mode in _TIFF_MODES:
        pixels.save(output, "TIFF", compression="tiff_adobe_deflate", exif=exif, icc_profile=profile)
        return StrippedFile(output.getvalue(), "TIFF")
    if pixels.mode not in PNG_MODES:
        pixels, profile = to_eight_bit(pixels), None
    pixels.save(output, "PNG", exif=exif, icc_profile=profile)
    return StrippedFile(output.getvalue(), "PNG")


def _converted(data: bytes) -> StrippedFile:
    with open_image(data) as image:
        image.load()
        return lossless(image, pixel_orientation(image))


def _orientation_tiff(orientation: int) -> bytes:
    """Return EXIF that holds an orientation and nothing else."""
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, ORIENTATION_TAG, 3, 1, orientation, 0, 0)


def _sound_profile(profile: bytes) -> bytes:
    """Return a colour profile without what follows its end; empty for anything that is no profile."""
    size = int.from_bytes(profile[:4], "big")
    return profile[:size] if profile[36:40] == b"acsp" and size <= len(profile) else b""


def _strip_jpeg(data: bytes, orientation: int = 1) -> bytes:
    """Return a JPEG with the segments that decoding needs."""
    headers: dict[int, bytes] = {}
    profile: dict[int, bytes] = {}
    n_chunks = 0
    body: list[Part] = []
    for marker, start, end, scan_end in _jpeg_segments(data):
        content = data[start:end]
        if marker == _APP0 and content[:5] == b"JFIF\0" and len(content) >= 14:
            headers[_APP0] = content[:12] + b"\0\0"  # without its thumbnail
        elif marker == _APP14 and content[:5] == b"Adobe" and len(content) >= 12:
            headers[_APP14] = content[:12]
        elif marker == _APP2 and content[:12] == _JPEG_PROFILE and len(content) > 14:
            profile[content[12]], n_chunks = content[14:], content[13]
        elif marker == _START_OF_SCAN or marker in _JPEG_TABLES:
            body += [_segment_header(marker, len(content)), content, memoryview(data)[end:scan_end]]
    parts = [b"\xff\xd8"]
    if _APP0 in headers:
        parts += [_segment_header(_APP0, 14), headers[_APP0]]
    if orientation != 1:
        exif = b"Exif\0\0" + _orientation_tiff(orientation)
        parts += [_segment_header(0xE1, len(exif)), exif]
    if len(profile) == n_chunks:
        parts += _jpeg_profile(_sound_profile(b"".join(profile[number] for number in sorted(profile))))
    if _APP14 in headers:
        parts += [_segment_header(_APP14, 12), headers[_APP14]]
    return b"".join([*parts, *body, b"\xff\xd9"])


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield marker, start and end of each segment of the first picture, and the end of the scan that follows it."""
    position = 2
    while marker_match := _JPEG_MARKER.search(data, position):
        marker, start = data[marker_match.end() - 1], marker_match.end()
        if marker == _END_OF_IMAGE:
            return
        if marker in _JPEG_ALONE:
            position = start
            continue
        position = start + max(2, int.from_bytes(data[start : start + 2], "big"))
        if position > len(data):
            return
        end = position
        if marker == _START_OF_SCAN:
            following = _END_OF_SCAN.search(data, position)
            position = following.start() if following else len(data)
        yield marker, start + 2, end, position


def _segment_header(marker: int, length: int) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, length + 2)


def _jpeg_profile(profile: bytes) -> list[bytes]:
    """Return the segments of a colour profile."""
    size = _MAX_SEGMENT - len(_JPEG_PROFILE) - 2
    chunks = [profile[start : start + size] for start in range(0, len(profile), size)]
    segments = []
    for number, chunk in enumerate(chunks, 1):
        content = _JPEG_PROFILE + bytes((number, len(chunks))) + chunk
        segments += [_segment_header(_APP2, len(content)), content]
    return segments


def _strip_png(data: bytes, orientation: int) -> bytes | None:
    parts: list[Part] = [_PNG_SIGNATURE]
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = memoryview(data)[position : position + 12 + length]
        position += 12 + length
        if kind not in _PNG_CHUNKS or (kind[0] & 0x20 and zlib.crc32(chunk[4:-4]).to_bytes(4) != chunk[-4:]):
            continue
        parts += _png_profile(bytes(chunk[8:-4])) if kind == b"iCCP" else [chunk]
        if kind == b"IHDR" and orientation != 1:
            parts.append(_png_chunk(b"eXIf", _orientation_tiff(orientation)))
        if kind == b"IEND":
            return b"".join(parts)
    return None


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I4s", len(content), kind) + content + checksum.to_bytes(4)


def _png_profile(content: bytes) -> list[bytes]:
    """Return the chunk of a colour profile under another name, which can be any text."""
    compressed = content.partition(b"\0")[2][1:]
    try:
        profile = _sound_profile(zlib.decompressobj().decompress(compressed, _MAX_PROFILE_BYTES))
    except zlib.error:
        return []
    return [_png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))] if profile else []


def _strip_webp(data: bytes, orientation: int) -> bytes | None:
    chunks = dict.fromkeys((b"VP8X", b"ICCP"), b"")
    body: list[bytes] = []
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for kind, content in _webp_chunks(data[12:end]):
        if kind == b"ANMF":
            frame = b"".join(
                _webp_chunk(*item) for item in _webp_chunks(content[_FRAME_HEADER:]) if item[0] in _WEBP_CHUNKS
            )
            body.append(_webp_chunk(kind, content[:_FRAME_HEADER] + frame))
        elif kind in _WEBP_CHUNKS:
            body.append(_webp_chunk(kind, content))
        elif kind in chunks:
            chunks[kind] = content
    profile = _sound_profile(chunks[b"ICCP"])
    head, tail = b"", b""
    if len(chunks[b"VP8X"]) >= 10:
        flags = chunks[b"VP8X"][0] & ~(_WEBP_PROFILE | _WEBP_EXIF | _WEBP_XMP)
        flags |= _WEBP_PROFILE * bool(profile) | _WEBP_EXIF * (orientation != 1)
        head = _webp_chunk(b"VP8X", bytes((flags,)) + b"\0\0\0" + chunks[b"VP8X"][4:10])
        head += _webp_chunk(b"ICCP", profile) if profile else b""
        tail = _webp_chunk(b"EXIF", _orientation_tiff(orientation)) if orientation != 1 else b""
    elif orientation != 1:
        return None
    content = b"WEBP" + head + b"".join(body) + tail
    return b"RIFF" + len(content).to_bytes(4, "little") + content if body else None


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def _strip_gif(data: bytes, orientation: int) -> bytes | None:
    """Return a GIF with its frames, their delays and the number of loops; None if it has an orientation (in XMP)."""
    if orientation != 1:
        return None
    position = 13 + _colour_table_size(data, 10)
    parts = [data[:position]]
    while position < len(data):
        kind = data[position : position + 1]
        if kind == b";":
            return b"".join([*parts, b";"])
        if kind == b"!":
            start = position
            blocks, position = _sub_blocks(data, position + 2)
            parts += _gif_extension(data[start + 1 : start + 2], blocks)
        elif kind == b",":
            start = position
            position += 10 + _colour_table_size(data, position + 9) + 1
            position = _sub_blocks(data, position)[1]
            parts.append(data[start:position])
        else:
            position += 1
    return b"".join([*parts, b";"])


def _gif_extension(label: bytes, blocks: list[bytes]) -> list[bytes]:
    if label == b"\xf9" and blocks and len(blocks[0]) == 4:
        return [b"!\xf9\x04", blocks[0], b"\0"]
    if label == b"\xff" and len(blocks) > 1 and blocks[0] == _GIF_LOOPS and len(blocks[1]) == 3:
        return [b"!\xff\x0b", _GIF_LOOPS, b"\x03", blocks[1], b"\0"]
    return []


def _colour_table_size(data: bytes, position: int) -> int:
    flags = data[position] if position < len(data) else 0
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks(data: bytes, position: int) -> tuple[list[bytes], int]:
    """Return the sub-blocks that start at a position, and the position behind them."""
    blocks: list[bytes] = []
    while position < len(data) and data[position]:
        blocks.append(data[position + 1 : position + 1 + data[position]])
        position += 1 + data[position]
    return blocks, position + 1


def _strip_tiff(data: bytes, _orientation: int) -> bytes | None:
    """Return a TIFF with the first page and its own orientation, which decoders apply.

    Decoders disagree about repeated tags and wrong sizes, so the pixels are compared.
    """
    stripped = rewrite_tiff(data, _strip_jpeg)
    return stripped if stripped and _pixels(stripped) == _pixels(data) else None


def _pixels(data: bytes) -> tuple[str, tuple[int, int], bytes] | None:
    """Return mode, size and a hash of the decoded pixels; None if they cannot be decoded."""
    with suppress(Exception), open_image(data) as image:  # decoders of damaged files raise nearly anything
        image.load()
        return image.mode, image.size, hashlib.sha256(image.tobytes()).digest()
    return None


_STRIPPERS: dict[str, Callable[[bytes, int], bytes | None]] = {
    "JPEG": _strip_jpeg,
    "PNG": _strip_png,
    "WEBP": _strip_webp,
    "GIF": _strip_gif,
    "TIFF": _strip_tiff,
}
