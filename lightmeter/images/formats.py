"""What image files hold before a decoder sees them: their format, the picture of a RAW file, sound chunks of a PNG.

This module needs the standard library alone and is copied into model archives.
"""

import re
import struct
import zlib
from importlib.util import find_spec

from .raw import full_size_preview, is_raw
from .tiff import is_tiff, read_directories

RAW_FORMAT = "RAW"
"""Format of a RAW file, whose picture is its preview of full size."""

SUFFIXES = {
    "JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tif", "GIF": "gif", "BMP": "bmp",
    "AVIF": "avif", "HEIF": "heic", "JPEG2000": "jp2", "PPM": "ppm", "ICO": "ico", RAW_FORMAT: "jpg",
}  # fmt: skip
"""Formats of photographs by Pillow's name, with the suffix that other programs know; a RAW file is its preview."""

_PNG = b"\x89PNG\r\n\x1a\n"
_HEIF = re.compile(rb"....ftyp(?:hei[cxms]|hev[cxms]|mi[fs]1|msf1)", re.DOTALL)
_OTHER_MAGIC = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|....ftypavi", re.DOTALL)
_UNSUPPORTED = (
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "JPEG XL"),
    (re.compile(rb"II\xbc\x01"), "JPEG XR"),
    (re.compile(rb"8BPS"), "Photoshop"),
)
_KEPT_CHUNKS = frozenset({b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT"})  # what a decoder here looks at
_EXIF_PROFILES = (b"raw profile type exif\0\0", b"raw profile type app1\0\0")
_MAX_PROFILE_BYTES = 1 << 20
_MAX_CHUNKS = 100_000
_IMAGE_WIDTH, _IMAGE_LENGTH, _STRIP_OFFSETS, _TILE_OFFSETS = 0x0100, 0x0101, 0x0111, 0x0144


class UnsupportedFile(ValueError):
    """A file whose picture cannot be decoded here; the message is a short reason."""


def picture_bytes(data: bytes) -> bytes:
    """Return the bytes that a decoder must read.

    They are the preview of a RAW file, a PNG without damaged ancillary chunks, or the file itself.

    Raises:
        UnsupportedFile: The file is RAW and has no preview of full size.
    """
    if is_raw(data):
        preview = full_size_preview(data)
        if preview is None:
            raise UnsupportedFile("raw format")
        return preview
    return _without_odd_chunks(data) if data.startswith(_PNG) else data


def file_format(data: bytes) -> str:
    """Return the format of a file that a decoder does not identify, as far as its header tells; empty for no image."""
    if is_raw(data):
        return RAW_FORMAT
    if _HEIF.match(data):
        return "HEIF"
    return "TIFF" if is_tiff(data) and _has_picture(data) else ""


def why_unidentified(data: bytes) -> str:
    """Return in a few words why a decoder does not identify a file."""
    for header, name in _UNSUPPORTED:
        if header.match(data):
            return f"unsupported format: {name}"
    if _HEIF.match(data) and not find_spec("pillow_heif"):
        return "HEIF: install lightmeter[heif]"
    if is_tiff(data) and _has_picture(data):
        return "unsupported kind of TIFF"
    is_image = _HEIF.match(data) or _OTHER_MAGIC.match(data) or is_tiff(data)
    return "undecodable: damaged header" if is_image else "not an image"


def _has_picture(data: bytes) -> bool:
    """Return whether a TIFF describes a picture whose pixels lie within the file."""
    first = read_directories(data).get("IFD0", {})
    offsets = first.get(_STRIP_OFFSETS) or first.get(_TILE_OFFSETS)
    sized = all(tag in first and any(first[tag].integers()) for tag in (_IMAGE_WIDTH, _IMAGE_LENGTH))
    return sized and offsets is not None and all(0 < offset < len(data) for offset in offsets.integers())


def _without_odd_chunks(data: bytes) -> bytes:
    """Return a PNG without ancillary chunks that are damaged or not needed, such as text, as libpng ignores them."""
    kept: list[bytes | memoryview] = []
    view, start, position = memoryview(data), 0, len(_PNG)
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind[0] & 0x20 and not _is_sound(kind, view[position + 4 : end]):
            kept.append(view[start:position])
            start = end
        position = end
    return b"".join([*kept, view[start:]]) if kept else data


def _is_sound(kind: bytes, chunk: memoryview) -> bool:
    """Return whether an ancillary chunk, without its length, is needed and undamaged."""
    is_profile = kind == b"zTXt" and bytes(chunk[4:40]).lower().startswith(_EXIF_PROFILES)
    if not is_profile and kind not in _KEPT_CHUNKS:
        return False
    if zlib.crc32(chunk[:-4]) != int.from_bytes(chunk[-4:], "big"):
        return False
    if not is_profile and kind != b"iCCP":
        return True
    try:
        compressed = bytes(chunk[4:-4]).partition(b"\0")[2][1:]
        return len(zlib.decompressobj().decompress(compressed, _MAX_PROFILE_BYTES)) < _MAX_PROFILE_BYTES
    except zlib.error:
        return False
