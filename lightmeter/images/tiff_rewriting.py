"""Writing the first page of a TIFF anew, with the tags that decoding needs and its pixels as they are stored.

This module needs the standard library alone and is copied into model archives.
"""

import struct
from collections.abc import Callable

from .tiff import IFD8, LONG, LONG8, SLONG, SLONG8, Directory, Field, read_directories

_STRIPS, _TILES = (273, 279), (324, 325)  # offsets and byte counts
_COMPRESSION, _JPEG_TABLES, _PROFILE = 259, 347, 34675
_OLD_JPEG, _JPEG = 6, 7
_NEEDED = frozenset({
    254, 255, 256, 257, 258, _COMPRESSION, 262, 263, 266, 274, 277, 278, 280, 281, 282, 283, 284, 290, 291, 292, 293,
    296, 301, 317, 318, 319, 320, 322, 323, 332, 334, 336, 338, 339, 340, 341, _JPEG_TABLES, 529, 530, 531, 532,
    _PROFILE,
})  # fmt: skip
"""Sizes, sample formats, compression, colours and orientation; none of them is text."""

_NARROW = {LONG8: (LONG, "Q", "I"), IFD8: (LONG, "Q", "I"), SLONG8: (SLONG, "q", "i")}  # types that BigTIFF adds
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # of whole numbers

Part = bytes | memoryview
Value = tuple[int, int, bytes]
"""Type, number and bytes of the values of a field."""


def rewrite_tiff(data: bytes, strip_jpeg: Callable[[bytes], bytes]) -> bytes | None:
    """Return a TIFF or BigTIFF as a TIFF with its first page alone.

    Args:
        data: Content of a TIFF, below 4 GB.
        strip_jpeg: Returns a JPEG without metadata, for pages that are compressed so.

    Returns:
        The new file, or None if the page cannot be copied: its parts lie outside the file or overlap, or it is a JPEG
        of the obsolete kind.
    """
    page = read_directories(data).get("IFD0", {})
    offset_tag, size_tag = _TILES if _TILES[0] in page else _STRIPS
    compression = next(iter(page[_COMPRESSION].integers()), 1) if _COMPRESSION in page else 1
    parts = _parts(data, page, offset_tag, size_tag)
    if parts is None or compression == _OLD_JPEG:
        return None
    order = "<" if data[:1] == b"I" else ">"
    try:
        values = {tag: _value(data, field) for tag, field in page.items() if tag in _NEEDED}
    except struct.error:  # numbers of BigTIFF that TIFF cannot hold
        return None
    if compression == _JPEG:
        parts = [strip_jpeg(bytes(part)) for part in parts]
        if _JPEG_TABLES in values:
            kind, _, tables = values[_JPEG_TABLES]
            tables = strip_jpeg(tables)
            values[_JPEG_TABLES] = kind, len(tables), tables
    sizes = [len(part) for part in parts]
    values[size_tag] = LONG, len(parts), struct.pack(f"{order}{len(parts)}I", *sizes)
    return _file(order, values, parts, offset_tag)


def _parts(data: bytes, page: Directory, offset_tag: int, size_tag: int) -> list[Part] | None:
    """Return the strips or tiles of a page, or None if they lie outside the file or overlap."""
    if offset_tag not in page or size_tag not in page:
        return None
    offsets, sizes = (_integers(data, page[tag]) for tag in (offset_tag, size_tag))
    if not offsets or len(offsets) != len(sizes) or sum(sizes) > len(data):
        return None
    if any(offset + size > len(data) for offset, size in zip(offsets, sizes, strict=True)):
        return None
    return [memoryview(data)[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True)]


def _integers(data: bytes, field: Field) -> list[int]:
    """Return all values of a field; none if they are no unsigned integers."""
    code = _CODES.get(field.type)
    return list(struct.unpack_from(f"{field.order}{field.count}{code}", data, field.offset)) if code else []


def _value(data: bytes, field: Field) -> Value:
    """Return a field in a type that TIFF has too."""
    content = data[field.offset : field.offset + field.size]
    if field.type not in _NARROW:
        return field.type, field.count, content
    kind, wide, narrow = _NARROW[field.type]
    numbers = struct.unpack(f"{field.order}{field.count}{wide}", content)
    return kind, field.count, struct.pack(f"{field.order}{field.count}{narrow}", *numbers)


def _file(order: str, values: dict[int, Value], parts: list[Part], offset_tag: int) -> bytes:
    """Return a TIFF of one page: header, directory, long values, pixels."""
    position = 8 + 2 + 12 * (len(values) + 1) + 4
    blocks: list[Part] = []
    offsets_at = position
    position += 4 * len(parts) if len(parts) > 1 else 0
    entries: dict[int, tuple[int, int, bytes]] = {}
    for tag, (kind, count, content) in values.items():
        if len(content) <= 4:
            entries[tag] = kind, count, content.ljust(4, b"\0")
        else:
            entries[tag] = kind, count, struct.pack(order + "I", position)
            blocks += [content, b"\0" * (len(content) % 2)]
            position += len(content) + len(content) % 2
    offsets = []
    for part in parts:
        offsets.append(position)
        blocks += [part, b"\0" * (len(part) % 2)]
        position += len(part) + len(part) % 2
    packed = struct.pack(f"{order}{len(offsets)}I", *offsets)
    inline = packed if len(offsets) == 1 else struct.pack(order + "I", offsets_at)
    entries[offset_tag] = LONG, len(offsets), inline
    header = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(entries))
    directory = b"".join(
        struct.pack(order + "HHI", tag, *entries[tag][:2]) + entries[tag][2] for tag in sorted(entries)
    )
    return b"".join([header, directory, b"\0" * 4, b"" if len(offsets) == 1 else packed, *blocks])
