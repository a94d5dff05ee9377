"""Where files keep EXIF and XMP: JPEG, PNG, WebP, GIF, TIFF and the RAW formats; those made of boxes are in `isobmff`.

Nothing is decoded, checksums are not checked, and damaged parts are skipped.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from lightmeter.harvest.exif.isobmff import Block, box_blocks
from lightmeter.images.tiff import is_tiff, read_directories

_MAX_SEGMENTS = 100_000
_MAX_INFLATED_BYTES = 4 << 20
_MAX_PACKET_BYTES = 4 << 20
_MAX_EXIF_BYTES = 4 << 20  # of segments that continue each other

_EXIF_HEADER = re.compile(rb".{0,8}?exif\0", re.IGNORECASE | re.DOTALL)
_TIFF_HEADER = re.compile(rb"II[*+]\0|MM\0[*+]", re.DOTALL)
_BYTE_ORDER = re.compile(rb"II|MM")
_XMP_HEADER = b"http://ns.adobe.com/xap/1.0/"
_EXTENDED_XMP_HEADER = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION = struct.Struct(">32sII")
_PACKET_START = re.compile(rb"\s{0,16}<(?:\?xpacket|\w{1,16}:x[am]pmeta|rdf:RDF)")
_APP0, _APP1, _APP15 = 0xE0, 0xE1, 0xEF
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_RAW_PROFILE = re.compile(rb"raw profile type (exif|app1|xmp)", re.IGNORECASE)
_PNG_XMP = b"XML:com.adobe.xmp"
_PANASONIC_JPEG = 0x2E
_GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
_GIF_XMP_TRAILER = b"\x01\xff\xfe\xfd\xfc"

Blocks = Iterator[Block]


def metadata_blocks(data: bytes) -> Blocks:
    """Yield the EXIF and XMP of a file, the most relevant first; nothing for other files."""
    if is_tiff(data):
        yield Block("exif", data)
    for magic, read in _READERS:
        if magic.match(data):
            yield from read(data)


def _jpeg_blocks(data: bytes) -> Blocks:
    """Yield the blocks of the segments before the pixels.

    An EXIF segment without a TIFF header continues the segment before it.
    """
    exif: list[bytes] = []
    extensions: dict[bytes, list[bytes]] = {}
    for marker, content in _segments(data):
        if content.startswith(_EXTENDED_XMP_HEADER):
            _add_extension(extensions, content[len(_EXTENDED_XMP_HEADER) :])
        elif content.startswith(_XMP_HEADER) or (marker == _APP1 and _PACKET_START.match(content)):
            yield Block("xmp", content.removeprefix(_XMP_HEADER).removeprefix(b"\0"))
        elif marker != _APP0 or content[:4].lower() == b"exif":
            exif = _with_exif_segment(exif, marker, content)
    yield from (Block("exif", block) for block in exif)
    yield from (Block("xmp", b"".join(parts)) for parts in extensions.values())


def _with_exif_segment(blocks: list[bytes], marker: int, content: bytes) -> list[bytes]:
    header = _EXIF_HEADER.match(content)
    start = header.end() if header else 0
    if not header and (marker != _APP1 or not _TIFF_HEADER.match(content)):
        return blocks
    tiff = _TIFF_HEADER.search(content, start, start + 12) or _BYTE_ORDER.match(content, start + 1)
    if tiff:
        return [*blocks, content[tiff.start() :]]
    if blocks and len(blocks[-1]) < _MAX_EXIF_BYTES:
        return [*blocks[:-1], blocks[-1] + content[start + 1 :]]
    return blocks


def _add_extension(extensions: dict[bytes, list[bytes]], content: bytes) -> None:
    """Add a part of an extended XMP packet (XMP specification part 3, 1.1.3.1)."""
    if len(content) > _EXTENSION.size:
        identifier, _, offset = _EXTENSION.unpack_from(content)
        parts = extensions.setdefault(identifier, [])
        if sum(map(len, parts)) == offset <= _MAX_PACKET_BYTES:
            parts.append(content[_EXTENSION.size :])


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of the application segments of a JPEG."""
    position = 2
    for _ in range(_MAX_SEGMENTS):
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            return
        marker = data[position + 1]
        if marker in (_END_OF_IMAGE, _START_OF_SCAN):
            return
        if marker < 0xC0 or marker == 0xFF or 0xD0 <= marker <= 0xD8:
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if _APP0 <= marker <= _APP15:
            yield marker, data[position + 4 : position + 2 + length]
        position += 2 + max(length, 2)


def _png_blocks(data: bytes) -> Blocks:
    position = len(_PNG_SIGNATURE)
    for _ in range(_MAX_SEGMENTS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length] if kind != b"IDAT" else b""
        if kind == b"eXIf":
            yield from _tiff_of(content)
        elif kind in _PNG_TEXT:
            yield from _png_text_blocks(kind, content)
        position += length + 12


def _png_text_blocks(kind: bytes, content: bytes) -> Blocks:
    keyword = content[:100].partition(b"\0")[0]
    profile = _RAW_PROFILE.fullmatch(keyword)
    if keyword != _PNG_XMP and not profile:
        return
    text = _png_text(kind, content[len(keyword) + 1 :])
    if not profile:
        yield Block("xmp", text)
    elif b"\n" in text:
        digits = text.lstrip(b"\n").split(b"\n", 2)[-1]
        try:
            packed = bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            return
        yield from (
            [Block("xmp", packed.removeprefix(_XMP_HEADER).removeprefix(b"\0"))]
            if _is_xmp(packed)
            else _tiff_of(packed)
        )


def _png_text(kind: bytes, rest: bytes) -> bytes:
    """Return the text of a chunk behind its keyword, decompressed if necessary."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflated(rest[1:])
    parts = rest[2:].split(b"\0", 2)  # compression flag and method, language, translated keyword
    text = parts[2] if len(parts) > 2 else b""
    return _inflated(text) if rest[:1] == b"\1" else text


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MAX_INFLATED_BYTES)
    except zlib.error:
        return b""


def _is_xmp(content: bytes) -> bool:
    return content.startswith(_XMP_HEADER) or _PACKET_START.match(content) is not None


def _tiff_of(content: bytes) -> Blocks:
    """Yield TIFF data, with or without the header of a JPEG segment."""
    tiff = _TIFF_HEADER.search(content, 0, 24)
    if tiff:
        yield Block("exif", content[tiff.start() :])


def _webp_blocks(data: bytes) -> Blocks:
    position = 12
    for _ in range(_MAX_SEGMENTS):
        if position + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind in (b"EXIF", b"XMP "):
            content = data[position + 8 : position + 8 + length]
            yield from [Block("xmp", content)] if kind == b"XMP " else _tiff_of(content)
        position += 8 + length + length % 2


def _gif_blocks(data: bytes) -> Blocks:
    start = data.find(_GIF_XMP)
    if start >= 0:
        start += len(_GIF_XMP)
        end = data.find(_GIF_XMP_TRAILER, start, start + _MAX_PACKET_BYTES)
        yield Block("xmp", data[start : end if end >= 0 else start + _MAX_PACKET_BYTES])


def _fujifilm_blocks(data: bytes) -> Blocks:
    """Yield the blocks of the JPEG that a Fujifilm RAF contains."""
    start, length = struct.unpack_from(">II", data.ljust(92, b"\0"), 84)
    return _jpeg_blocks(data[start : start + length])


def _panasonic_blocks(data: bytes) -> Blocks:
    """Yield the blocks of the JPEG that a Panasonic RW2 contains."""
    jpeg = read_directories(data).get("IFD0", {}).get(_PANASONIC_JPEG)
    return _jpeg_blocks(data[jpeg.offset : jpeg.offset + jpeg.count]) if jpeg else iter(())


def _sigma_blocks(data: bytes) -> Blocks:
    """Yield the blocks of the JPEG that a Sigma X3F contains."""
    start = data.find(b"\xff\xd8\xff\xe1")
    return _jpeg_blocks(data[start:]) if start >= 0 else iter(())


def _minolta_blocks(data: bytes) -> Blocks:
    """Yield the TIFF data of a Minolta MRW, which is divided like a RIFF file."""
    position = 8
    for _ in range(16):
        if position + 8 > len(data):
            return
        kind, length = struct.unpack_from(">4sI", data, position)
        if kind == b"\0TTW":
            yield Block("exif", data[position + 8 : position + 8 + length])
        position += 8 + length


_READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Blocks]], ...] = (
    (re.compile(rb"\xff(?:\xd8|\x01Exiv2)"), _jpeg_blocks),
    (re.compile(re.escape(_PNG_SIGNATURE)), _png_blocks),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp_blocks),
    (re.compile(rb"GIF8[79]a"), _gif_blocks),
    (re.compile(rb"....(?:ftyp|jP  |JXL )", re.DOTALL), box_blocks),
    (re.compile(rb"FUJIFILMCCD-RAW"), _fujifilm_blocks),
    (re.compile(rb"\0MRM"), _minolta_blocks),
    (re.compile(rb"IIU\0"), _panasonic_blocks),
    (re.compile(rb"FOVb"), _sigma_blocks),
)
