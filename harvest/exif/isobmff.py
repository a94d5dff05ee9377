"""EXIF and XMP in files made of boxes: HEIF, AVIF, JPEG 2000, JPEG XL and Canon CR3 (ISO/IEC 14496-12 and 23008-12)."""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

_MAX_BOXES = 4096
_MAX_ITEMS = 4096
_MAX_EXTENTS = 64
_MAX_ITEM_BYTES = 4 << 20
_TIFF_HEADER = re.compile(rb"II[*+]\0|MM\0[*+]", re.DOTALL)
_EXIF_UUIDS = (b"JpgTiffExif->JP2", bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e"))
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_CANON_DIRECTORIES = {b"CMT1": "IFD0", b"CMT2": "Exif", b"CMT4": "GPS"}
_XMP_TYPE = b"application/rdf+xml"
_FILE_OFFSET, _ITEM_DATA = 0, 1  # construction methods of ISO/IEC 14496-12, 8.11.3


class Box(NamedTuple):
    """A box: its type and the bounds of its content."""

    type: bytes
    start: int
    end: int


class Block(NamedTuple):
    """A metadata block.

    Attributes:
        kind: ``exif`` or ``xmp``.
        data: TIFF data or an XMP packet.
        root: Name of the first directory of TIFF data.
    """

    kind: str
    data: bytes
    root: str = "IFD0"


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the boxes between two offsets, as far as they are sound."""
    end = len(data) if end is None else min(end, len(data))
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1 and content + 8 <= end:
            size, content = struct.unpack_from(">Q", data, content)[0], content + 8
        after = start + size if size else end
        if after < content:
            return
        yield Box(kind, content, min(after, end))
        start = after


def box_blocks(data: bytes) -> Iterator[Block]:
    """Yield the EXIF and XMP of a file made of boxes, those of the primary image first."""
    for box in boxes(data):
        content = data[box.start : min(box.end, box.start + 16)]
        if box.type == b"meta":
            yield from _item_blocks(data, box)
        elif box.type == b"moov":
            yield from _canon_blocks(data, box)
        elif box.type == b"uuid" and content in _EXIF_UUIDS:
            yield Block("exif", data[box.start + 16 : box.end])
        elif box.type == b"uuid" and content == _XMP_UUID:
            yield Block("xmp", data[box.start + 16 : box.end])
        elif box.type == b"Exif":
            yield Block("exif", _after_header_offset(data[box.start : box.end]))
        elif box.type == b"xml ":
            yield Block("xmp", data[box.start : box.end])


def _canon_blocks(data: bytes, moov: Box) -> Iterator[Block]:
    for box in boxes(data, moov.start, moov.end):
        if box.type == b"uuid" and data[box.start : box.start + 16] == _CANON_UUID:
            for part in boxes(data, box.start + 16, box.end):
                if part.type in _CANON_DIRECTORIES:
                    yield Block("exif", data[part.start : part.end], _CANON_DIRECTORIES[part.type])


def _item_blocks(data: bytes, meta: Box) -> Iterator[Block]:
    """Yield the Exif and XMP items of a HEIF file that describe its primary image.

    Items that do not say what they describe count as well; those of thumbnails and auxiliary images do not.
    """
    parts = {box.type: box for box in boxes(data, meta.start + 4, meta.end)}
    primary = _primary_item(data, parts.get(b"pitm"))
    described = _described_items(data, parts.get(b"iref"))
    kinds = _item_kinds(data, parts.get(b"iinf"))
    for number, extents in _item_extents(data, parts.get(b"iloc"), parts.get(b"idat")):
        targets = described.get(number)
        if number in kinds and (not targets or primary is None or primary in targets):
            content = _joined(data, extents)
            yield Block("exif", _after_header_offset(content)) if kinds[number] == "exif" else Block("xmp", content)


def _joined(data: bytes, extents: list[tuple[int, int]]) -> bytes:
    """Return the content of an item; extents of damaged files can overlap, so its size is limited."""
    content = b""
    for start, end in extents:
        content += data[start : min(end, start + _MAX_ITEM_BYTES - len(content))]
    return content


def _after_header_offset(content: bytes) -> bytes:
    """Return the TIFF data of an Exif item, which begins with the offset of the TIFF header; some offsets are wrong."""
    offset = 4 + int.from_bytes(content[:4], "big")
    header = _TIFF_HEADER.match(content, offset) or _TIFF_HEADER.search(content, 0, 32)
    return content[header.start() :] if header else b""


def _primary_item(data: bytes, box: Box | None) -> int | None:
    return _Cursor(data, box).item_number() if box else None


def _described_items(data: bytes, iref: Box | None) -> dict[int, set[int]]:
    """Return the images that each metadata item describes."""
    described: dict[int, set[int]] = {}
    if iref is None:
        return described
    long_numbers = data[iref.start] > 0
    for box in boxes(data, iref.start + 4, iref.end):
        if box.type == b"cdsc":
            cursor = _Cursor(data, box, full=False)
            size = 4 if long_numbers else 2
            item, count = cursor.unsigned(size), cursor.unsigned(2)
            described[item] = {cursor.unsigned(size) for _ in range(min(count, _MAX_ITEMS))}
    return described


def _item_kinds(data: bytes, iinf: Box | None) -> dict[int, str]:
    """Return ``exif`` or ``xmp`` for the items that are metadata."""
    kinds: dict[int, str] = {}
    if iinf is None:
        return kinds
    start = iinf.start + (6 if data[iinf.start] == 0 else 8)
    for box in boxes(data, start, iinf.end):
        if box.type != b"infe":
            continue
        cursor = _Cursor(data, box)
        number = cursor.unsigned(4 if cursor.version > 2 else 2)
        cursor.unsigned(2)
        kind = cursor.take(4)
        if kind == b"Exif":
            kinds[number] = "exif"
        elif kind == b"mime" and _XMP_TYPE in data[cursor.position : box.end]:
            kinds[number] = "xmp"
    return kinds


def _item_extents(data: bytes, iloc: Box | None, idat: Box | None) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield the bounds of the content of each item."""
    if iloc is None:
        return
    cursor = _Cursor(data, iloc)
    sizes = cursor.unsigned(2)
    offset_size, length_size, base_size = sizes >> 12 & 15, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if cursor.version else 0
    count = cursor.unsigned(4 if cursor.version > 1 else 2)
    for _ in range(min(count, _MAX_ITEMS)):
        number = cursor.unsigned(4 if cursor.version > 1 else 2)
        method = cursor.unsigned(2) & 15 if cursor.version else _FILE_OFFSET
        cursor.unsigned(2)
        base = cursor.unsigned(base_size)
        if method == _ITEM_DATA and idat:
            base += idat.start
        extents = []
        for _ in range(min(cursor.unsigned(2), _MAX_EXTENTS)):
            cursor.unsigned(index_size)
            start = base + cursor.unsigned(offset_size)
            extents.append((start, start + (cursor.unsigned(length_size) or len(data))))
        yield number, extents


class _Cursor:
    """Reads big-endian integers of a full box; beyond its end they are 0."""

    def __init__(self, data: bytes, box: Box, *, full: bool = True) -> None:
        self._data, self._end = data, box.end
        self.version = data[box.start] if full and box.start < box.end else 0
        self.position = box.start + (4 if full else 0)

    def take(self, size: int) -> bytes:
        start, self.position = self.position, self.position + size
        return self._data[start : min(self.position, self._end)]

    def unsigned(self, size: int) -> int:
        content = self.take(size)
        return int.from_bytes(content, "big") if len(content) == size else 0

    def item_number(self) -> int:
        return self.unsigned(4 if self.version else 2)
