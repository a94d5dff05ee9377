"""Image file directories: the structure of TIFF, of EXIF and of most RAW files (TIFF 6.0; BigTIFF; Exif 2.32 and 3.0).

Each entry of a directory is read independently of the others, so a damaged one costs itself alone. Offsets outside the
data and loops are harmless, and the work is bounded whatever the data claims. This module needs the standard library
alone and is copied into model archives.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

EXIF_IFD, GPS_IFD, INTEROP_IFD, SUB_IFDS = 0x8769, 0x8825, 0xA005, 0x014A
POINTERS = {EXIF_IFD: "Exif", GPS_IFD: "GPS", INTEROP_IFD: "Interop", SUB_IFDS: "SubIFD"}
"""Tags that hold the offsets of further directories, and the names of these directories."""

BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, SSHORT, SLONG, SRATIONAL, FLOAT, DOUBLE, IFD = range(1, 14)
LONG8, SLONG8, IFD8, UTF8 = 16, 17, 18, 129

_CODES = {
    BYTE: "B", ASCII: "s", SHORT: "H", LONG: "I", RATIONAL: "II", SBYTE: "b", UNDEFINED: "s", SSHORT: "h", SLONG: "i",
    SRATIONAL: "ii", FLOAT: "f", DOUBLE: "d", IFD: "I", LONG8: "Q", SLONG8: "q", IFD8: "Q", UTF8: "s",
}  # fmt: skip
_SIZES = {kind: struct.calcsize("=" + code) for kind, code in _CODES.items()}
_HEADER = re.compile(rb"II(?:[*+]\0|R[OS]|U\0|\xbc\x01)|MM(?:\0[*+]|OR)", re.DOTALL)
_SIGNED = {BYTE: SBYTE, SHORT: SSHORT, LONG: SLONG, RATIONAL: SRATIONAL, LONG8: SLONG8}

_MAX_DIRECTORIES = 64
_MAX_FIELDS = 1024  # of one directory
_MAX_VALUE_BYTES = 4096
_MAX_PACKET_BYTES = 1 << 20
_PACKETS = frozenset({0x02BC, 0x8649})  # XMP and Photoshop's image resources
_MAX_ITEMS = 64

Number = int | float | str
"""A number of a field; rationals are text such as ``28/10``, so that ``0/0`` can be told from 0."""


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of a directory.

    Attributes:
        type: Type number of TIFF 6.0.
        count: Number of values.
        data: Bytes of the values; long ones are truncated.
        order: ``<`` for little-endian, ``>`` for big-endian.
        offset: Where the values start in the data.
    """

    type: int
    count: int
    data: bytes
    order: str
    offset: int

    @property
    def size(self) -> int:
        """Number of bytes of all values."""
        return self.count * _SIZES[self.type]

    @property
    def is_text(self) -> bool:
        """Whether the type is ASCII, or UTF-8 of Exif 3.0."""
        return self.type in (ASCII, UTF8)

    def text(self) -> str:
        """Return the bytes as text, which ends at the first NUL: UTF-8, or Latin-1 if it is not valid UTF-8."""
        content = self.data.partition(b"\0")[0]
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            return content.decode("latin-1")

    def numbers(self, *, signed: bool = False) -> list[Number]:
        """Return the values; of text the number that it spells, of one undefined value its bytes as an integer.

        Args:
            signed: Whether unsigned types hold signed values, as some cameras write them.
        """
        kind = _SIGNED.get(self.type, self.type) if signed else self.type
        if self.is_text:
            return [self.text().strip()]
        if kind == UNDEFINED:
            code = {1: "B", 2: "H", 4: "I", 8: "Q"}.get(self.count)
            return list(struct.unpack(self.order + code, self.data)) if code else []
        code, size = _CODES[kind], _SIZES[kind]
        count = min(len(self.data) // size, _MAX_ITEMS)
        values = struct.unpack_from(f"{self.order}{count * len(code)}{code[0]}", self.data)
        if kind in (RATIONAL, SRATIONAL):
            return [f"{values[index]}/{values[index + 1]}" for index in range(0, len(values), 2)]
        return [value for value in values if not isinstance(value, float) or math.isfinite(value)]

    def integers(self) -> list[int]:
        """Return the values that are integers."""
        return [value for value in self.numbers() if isinstance(value, int)]


Directory = dict[int, Field]
"""Fields by tag."""


def is_tiff(data: bytes) -> bool:
    """Return whether data begins like TIFF, BigTIFF, or a RAW format with a similar header."""
    return _HEADER.match(data) is not None


def read_directories(data: bytes, root: str = "IFD0") -> dict[str, Directory]:
    """Return the directories of TIFF data by name: ``IFD0``, ``IFD1`` …, ``Exif``, ``GPS``, ``Interop``, ``SubIFD`` ….

    Args:
        data: TIFF data; offsets count from its beginning.
        root: Name of the first directory.

    Returns:
        The directories in the order of the file; empty if the data names no byte order.
    """
    if data[:2] not in (b"II", b"MM"):
        return {}
    reader = _Reader(data)
    reader.read_chain(reader.first, root)
    return reader.directories


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.directories: dict[str, Directory] = {}
        self.order = "<" if data[:1] == b"I" else ">"
        self.big = data[2:4] in (b"+\0", b"\0+")
        self.first = self._unpack("Q", 8) if self.big else self._unpack("I", 4)
        self._seen: set[int] = set()

    def read_chain(self, offset: int, root: str) -> None:
        """Read a directory, those that it points to, and those that follow it."""
        number = 0
        while offset and self._free(offset):
            following = self._read(offset, f"IFD{number}" if number or root == "IFD0" else root)
            number, offset = number + 1, following

    def _free(self, offset: int) -> bool:
        """Return whether a directory that starts here can be read and was not read before."""
        return 0 < offset < len(self.data) and offset not in self._seen and len(self._seen) < _MAX_DIRECTORIES

    def _read(self, offset: int, name: str) -> int:
        """Read one directory and those that it points to; return the offset of the next one."""
        self._seen.add(offset)
        head, entry = (8, 20) if self.big else (2, 12)
        count = self._unpack("Q" if self.big else "H", offset)
        start = offset + head
        end = min(start + count * entry, len(self.data) - entry + 1)
        directory: Directory = {}
        for position in range(start, min(end, start + _MAX_FIELDS * entry), entry):
            tag, kind = struct.unpack_from(self.order + "HH", self.data, position)
            field = self._field(position, tag, kind) if kind in _SIZES else None
            if field is not None:
                directory[tag] = field  # of several entries the last counts, as in ExifTool
        if not directory:
            return 0
        self._add(name, directory)
        for tag in POINTERS.keys() & directory.keys():
            for pointer in directory[tag].integers():
                if self._free(pointer):
                    self._read(pointer, POINTERS[tag])
        return self._unpack("Q" if self.big else "I", start + count * entry)

    def _field(self, position: int, tag: int, kind: int) -> Field | None:
        """Return the field of an entry, or None if its values lie outside the data."""
        count = self._unpack("Q" if self.big else "I", position + 4)
        inline, offset = (8, position + 12) if self.big else (4, position + 8)
        size = count * _SIZES[kind]
        if size > inline:
            offset = self._unpack("Q" if self.big else "I", offset)
        if offset + size > len(self.data):
            return None
        limit = _MAX_PACKET_BYTES if tag in _PACKETS else _MAX_VALUE_BYTES
        return Field(kind, count, bytes(self.data[offset : offset + min(size, limit)]), self.order, offset)

    def _unpack(self, code: str, offset: int) -> int:
        """Return an integer of the data, or 0 if it lies outside."""
        try:
            return int(struct.unpack_from(self.order + code, self.data, offset)[0])
        except struct.error:
            return 0

    def _add(self, name: str, directory: Directory) -> None:
        names = _names(name)
        self.directories[next(free for free in names if free not in self.directories)] = directory


def _names(name: str) -> Iterator[str]:
    """Return a name, then the same name with numbers."""
    yield name
    for number in range(1, _MAX_DIRECTORIES + 1):
        yield f"{name}{number}"
