"""RAW files: the preview of full size that many of them contain.

A RAW file based on TIFF has a thumbnail where a TIFF has its picture, so it must not be decoded like one. Previews that
only MakerNotes point to are found by the optional package rawpy. This module needs the standard library alone and is
copied into model archives.
"""

import io
import re
import struct
from collections.abc import Iterator, Mapping

from .tiff import Directory, is_tiff, read_directories

_RAW_HEADER = re.compile(
    rb"FUJIFILMCCD-RAW|FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR|....ftypcrx |IIR[OS]|MMOR|IIU\0"
    rb"|II\*\0....(?:CR|IIII.waR)|MM\0\*....MMMMRaw|.{25}ARECOYK",
    re.DOTALL,
)
_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC = 0x0100, 0x0101, 0x0103, 0x0106
_SUBFILE_TYPE, _DNG_VERSION = 0x00FE, 0xC612
_STRIP_OFFSETS, _STRIP_SIZES, _JPEG_OFFSET, _JPEG_SIZE = 0x0111, 0x0117, 0x0201, 0x0202
_EXIF_WIDTH, _EXIF_HEIGHT = 0xA002, 0xA003
_PANASONIC_WIDTH, _PANASONIC_HEIGHT, _PANASONIC_JPEG = 0x0002, 0x0003, 0x002E
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
_RAW_COMPRESSIONS = frozenset({32767, 32769, 32770, 34713, 65535})  # Sony, Epson, Samsung, Nikon, Pentax
_FUJIFILM_JPEG, _FUJIFILM_TAGS, _FUJIFILM_SIZE = 84, 92, 0x0100
_REDUCED = 1

_MIN_SHARE = 0.8  # of the pixels of the sensor, whose margins previews leave out
_MIN_PIXELS = 2_000_000  # of a preview whose RAW size is unknown
_MAX_PREVIEWS = 32
_MAX_SEGMENTS = 1000
_BASELINE_TO_PROGRESSIVE = (0xC0, 0xC1, 0xC2)  # the lossless process, 0xC3, holds sensor data


def is_raw(data: bytes) -> bool:
    """Return whether a file holds sensor data, or is a TIFF whose first picture is a thumbnail of another."""
    return _RAW_HEADER.match(data) is not None or (is_tiff(data) and _has_sensor_data(read_directories(data)))


def full_size_preview(data: bytes) -> bytes | None:
    """Return the largest JPEG in a RAW file if it has the size of the photograph, else None."""
    directories = read_directories(data)
    expected = max(_pixels(directories), _fujifilm_pixels(data))
    needed = _MIN_SHARE * expected if expected else _MIN_PIXELS
    view = memoryview(data)  # previews of damaged files can overlap, so none is copied before the largest is known
    previews = (view[start : start + size] for start, size in _previews(data, directories))
    largest = max(previews, default=view[:0], key=_jpeg_pixels)
    preview = bytes(largest) if _jpeg_pixels(largest) >= needed else _preview_of_rawpy(data)
    return preview if _jpeg_pixels(preview) >= needed else None


def jpeg_size(data: bytes | memoryview) -> tuple[int, int]:
    """Return width and height of a JPEG that holds a picture, from its frame header; (0, 0) for anything else."""
    position = 2 if data[:2] == b"\xff\xd8" else len(data)
    for _ in range(_MAX_SEGMENTS):
        if position + 9 > len(data) or data[position] != 0xFF:
            break
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _BASELINE_TO_PROGRESSIVE:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        if marker in (0xC3, 0xD9, 0xDA) or length < 2:
            break
        position += 2 + length
    return 0, 0


def _jpeg_pixels(data: bytes | memoryview) -> int:
    width, height = jpeg_size(data)
    return width * height


def _preview_of_rawpy(data: bytes) -> bytes:
    """Return the JPEG that rawpy finds; empty if there is none or rawpy is not installed."""
    try:
        import rawpy
    except ImportError:
        return b""
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            preview = raw.extract_thumb()
    except rawpy.LibRawError:
        return b""
    return bytes(preview.data) if preview.format == rawpy.ThumbFormat.JPEG else b""


def _has_sensor_data(directories: Mapping[str, Directory]) -> bool:
    first = directories.get("IFD0", {})
    if _DNG_VERSION in first:
        return True
    for directory in directories.values():
        if _number(directory, _PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW):
            return True
        if _number(directory, _COMPRESSION) in _RAW_COMPRESSIONS:
            return True
    is_thumbnail = _number(first, _SUBFILE_TYPE) & _REDUCED
    return bool(is_thumbnail) and _pixels(directories) > _number(first, _WIDTH) * _number(first, _HEIGHT)


def _previews(data: bytes, directories: Mapping[str, Directory]) -> Iterator[tuple[int, int]]:
    """Yield offset and size of the JPEG files in a RAW file."""
    for directory in list(directories.values())[:_MAX_PREVIEWS]:
        yield _number(directory, _JPEG_OFFSET), _number(directory, _JPEG_SIZE)
        strips = directory.get(_STRIP_OFFSETS)
        if strips is not None and strips.count == 1:
            yield _number(directory, _STRIP_OFFSETS), _number(directory, _STRIP_SIZES)
        if _PANASONIC_JPEG in directory:
            yield directory[_PANASONIC_JPEG].offset, directory[_PANASONIC_JPEG].count
    if data.startswith(b"FUJIFILMCCD-RAW") and len(data) > _FUJIFILM_TAGS:
        start, size = struct.unpack_from(">II", data, _FUJIFILM_JPEG)
        yield start, size
    if data[4:12] == b"ftypcrx ":
        yield from _canon_previews(data)


def _canon_previews(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the samples of a CR3 that are JPEG files, from the tables of its tracks."""
    for table in re.finditer(rb"co64|stco", data[: 1 << 20]):
        code, size = (">Q", 8) if table[0] == b"co64" else (">I", 4)
        position = table.end() + 8
        if position + size <= len(data):
            start = struct.unpack_from(code, data, position)[0]
            if data[start : start + 3] == b"\xff\xd8\xff":
                yield start, len(data) - start


def _pixels(directories: Mapping[str, Directory]) -> int:
    """Return the number of pixels of the largest picture that the directories describe."""
    pairs = ((_WIDTH, _HEIGHT), (_EXIF_WIDTH, _EXIF_HEIGHT), (_PANASONIC_WIDTH, _PANASONIC_HEIGHT))
    return max(
        (_number(item, width) * _number(item, height) for item in directories.values() for width, height in pairs),
        default=0,
    )


def _fujifilm_pixels(data: bytes) -> int:
    """Return the number of pixels of the sensor of a RAF, from its own table of tags."""
    if not data.startswith(b"FUJIFILMCCD-RAW") or len(data) < _FUJIFILM_TAGS + 8:
        return 0
    position = struct.unpack_from(">I", data, _FUJIFILM_TAGS)[0]
    count = int.from_bytes(data[position : position + 4], "big")
    position += 4
    for _ in range(min(count, 256)):
        if position + 8 > len(data):
            break
        tag, size, height, width = struct.unpack_from(">4H", data, position)
        if tag == _FUJIFILM_SIZE and size == 4:
            return int(height * width)
        position += 4 + size
    return 0


def _number(directory: Directory, tag: int) -> int:
    values = directory[tag].integers() if tag in directory else []
    return values[0] if values else 0
