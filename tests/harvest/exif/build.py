"""EXIF blocks and the containers of files, built byte by byte so that any of them can be damaged."""

import struct
import zlib
from collections.abc import Sequence
from typing import Any

from lightmeter.images.tiff import ASCII, LONG, RATIONAL, SHORT, UNDEFINED

EXIF, GPS, MAKER_NOTE = 0x8769, 0x8825, 0x927C
MAKE, MODEL, DESCRIPTION, ORIENTATION = 0x010F, 0x0110, 0x010E, 0x0112
F_NUMBER, EXPOSURE_TIME, ISO, FOCAL_LENGTH, FOCAL_LENGTH_35MM = 0x829D, 0x829A, 0x8827, 0x920A, 0xA405
TAKEN_AT, USER_COMMENT, LENS_MODEL, FLASH = 0x9003, 0x9286, 0xA434, 0x9209

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}

Entry = tuple[int, int, Any]
"""A tag, a type of TIFF, and the value or values; a pair for each rational."""


def encode(kind: int, value: Any, order: str = "<") -> bytes:
    """Return values as TIFF stores them."""
    if kind in (ASCII, UNDEFINED, 129):
        return value if isinstance(value, bytes) else value.encode() + b"\0"
    values = value if isinstance(value, list) else [value]
    if kind in (RATIONAL, 10):
        return b"".join(struct.pack(order + ("II" if kind == RATIONAL else "ii"), *pair) for pair in values)
    return b"".join(struct.pack(order + _CODES[kind], item) for item in values)


def directory(entries: Sequence[Entry], start: int, order: str = "<") -> bytes:
    """Return a directory that stands at an offset, with its values behind it."""
    head, values = struct.pack(order + "H", len(entries)), b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        content = encode(kind, value, order)
        inline = len(content) <= 4
        field = content.ljust(4, b"\0") if inline else struct.pack(order + "I", behind + len(values))
        values += b"" if inline else content + b"\0" * (len(content) % 2)
        head += struct.pack(order + "HHI", tag, kind, len(content) // _SIZES[kind]) + field
    return head + bytes(4) + values


def tiff(first: Sequence[Entry], exif: Sequence[Entry] = (), order: str = "<") -> bytes:
    """Return TIFF data with a first directory and an Exif directory."""
    start = 8 + len(directory([*first, (EXIF, LONG, 0)], 8, order))
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return header + directory([*first, (EXIF, LONG, start)], 8, order) + directory(exif, start, order)


def point_outside(block: bytes, tag: int, kind: int) -> bytes:
    """Return a little-endian block in which the value of a tag lies behind the end."""
    position = block.index(struct.pack("<HH", tag, kind))
    return block[: position + 8] + struct.pack("<I", 900_000) + block[position + 12 :]


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """Return a JPEG with segments in front."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def exif_segment(block: bytes, header: bytes = b"Exif\0\0") -> bytes:
    """Return the APP1 segment of an EXIF block."""
    return segment(0xE1, header + block)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunks(png: bytes, before: bytes = b"", behind: bytes = b"") -> bytes:
    """Return a PNG with chunks before and behind its pixels."""
    pixels, end = png.index(b"IDAT") - 4, png.index(b"IEND") - 4
    return png[:pixels] + before + png[pixels:end] + behind + png[end:]


def raw_profile(kind: str, content: bytes) -> bytes:
    """Return the text chunk in which ImageMagick keeps metadata."""
    lines = "\n".join(content.hex()[index : index + 72] for index in range(0, 2 * len(content), 72))
    text = f"\n{kind}\n{len(content):8d}\n{lines}\n".encode()
    return chunk(b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(text))


def box(kind: bytes, content: bytes, version: int | None = None) -> bytes:
    """Return a box of ISO/IEC 14496-12; with a version it is a full box."""
    head = b"" if version is None else struct.pack(">I", version << 24)
    return struct.pack(">I", 8 + len(head) + len(content)) + kind + head + content


def heif(exif: bytes, xmp: bytes = b"", described: int = 1) -> bytes:
    """Return a HEIF file without a picture whose items 2 and 3 are metadata of an image; 1 is the primary image."""
    items = [(2, b"Exif\0", bytes(4) + exif), (3, b"mime\0application/rdf+xml\0", xmp)]
    names = b"".join(box(b"infe", struct.pack(">HH", number, 0) + kind + b"\0", 2) for number, kind, _ in items)
    references = box(
        b"iref", b"".join(box(b"cdsc", struct.pack(">HHH", number, 1, described)) for number, *_ in items), 0
    )
    brand = box(b"ftyp", b"heic\0\0\0\0mif1heic")

    def meta(start: int) -> bytes:
        locations, position = struct.pack(">HH", 0x4400, len(items)), start
        for number, _, content in items:
            locations += struct.pack(">HHHII", number, 0, 1, position, len(content))
            position += len(content)
        parts = box(b"pitm", struct.pack(">H", 1), 0) + box(b"iinf", struct.pack(">H", 2) + names, 0) + references
        return box(b"meta", parts + box(b"iloc", locations, 0), 0)

    start = len(brand) + len(meta(0)) + 8
    return brand + meta(start) + box(b"mdat", b"".join(content for *_, content in items))


def raw_file(preview: bytes, size: tuple[int, int]) -> bytes:
    """Return a RAW file like a DNG: a thumbnail first, sensor data of a size, and a JPEG of its own."""
    thumbnail = bytes(160 * 120 * 3)

    def first(sensor: int, pixels: int) -> list[Entry]:
        return [
            (254, LONG, 1), (256, LONG, 160), (257, LONG, 120), (258, SHORT, [8, 8, 8]), (259, SHORT, 1), (262, SHORT, 2),
            (MAKE, ASCII, "NIKON CORPORATION"), (273, LONG, pixels), (ORIENTATION, SHORT, 6), (277, SHORT, 3), (278, LONG, 120),
            (279, LONG, len(thumbnail)), (330, LONG, sensor), (F_NUMBER, RATIONAL, (28, 10)),
        ]  # fmt: skip

    def sensor(jpeg: int) -> list[Entry]:
        return [
            (256, LONG, size[0]),
            (257, LONG, size[1]),
            (262, SHORT, 32803),
            (513, LONG, jpeg),
            (514, LONG, len(preview)),
        ]

    second = 8 + len(directory(first(0, 0), 8))
    pixels = second + len(directory(sensor(0), 0))
    header = b"II*\0" + struct.pack("<I", 8)
    content = directory(first(second, pixels), 8) + directory(sensor(pixels + len(thumbnail)), second)
    return header + content + thumbnail + preview
