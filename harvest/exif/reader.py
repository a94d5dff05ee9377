"""EXIF from files and from dictionaries of tags. Nothing here raises on bad input."""

import io
import math
import re
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from lightmeter.harvest.exif import parsers as values
from lightmeter.harvest.exif.maker_notes import maker_notes, plausible
from lightmeter.harvest.exif.models import ExifRecord, Privacy
from lightmeter.harvest.exif.normalise import normalise, plain_name
from lightmeter.harvest.exif.privacy import without_personal
from lightmeter.harvest.exif.xmp import xmp_tags

_MOST_TAGS = 512
_MOST_ITEMS = 64
_LONGEST_TEXT = 1000
_LONGEST_HEX_BYTES = 32
_LARGEST_INTEGER = 1 << 63
_MOST_EXIF_BYTES = 1 << 20
_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK = struct.Struct(">I4s")
_UTF16_TAGS = range(0x9C9B, 0x9CA0)  # XPTitle … XPSubject: UTF-16, little-endian
_SERIALS = ("bodyserialnumber", "cameraserialnumber", "serialnumber", "internalserialnumber")
_IFDS = {
    "Exif": ExifTags.IFD.Exif,
    "GPS": ExifTags.IFD.GPSInfo,
    "Interop": ExifTags.IFD.Interop,
    "IFD1": ExifTags.IFD.IFD1,
}
_POINTERS = frozenset({ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop})

Tags = dict[str, object]


def read_exif(data: bytes | Path, *, keep: Privacy) -> ExifRecord:
    """Read a file's EXIF without decoding the picture; an empty reading if there is none that can be read."""
    with _Patience():
        source = io.BytesIO(data) if isinstance(data, bytes) else data
        with Image.open(source) as image:
            return read_image(image, keep=keep)
    return ExifRecord()


def read_image(image: Image.Image, *, keep: Privacy, maker_notes_s: float = 0.0) -> ExifRecord:
    """Read the EXIF of an image that Pillow has opened.

    Args:
        keep: which personal data stay.
        maker_notes_s: longest time for its MakerNotes, in seconds; 0 if they are not to be read.
    """
    ifds: dict[str, Tags] = {}
    with _Patience():
        exif = _exif_of(image)
        ifds["IFD0"] = dict(_named(exif, ExifTags.TAGS))
        for name, pointer in _IFDS.items():
            with _Patience():
                names = ExifTags.GPSTAGS if name == "GPS" else ExifTags.TAGS
                ifds[name] = dict(_named(exif.get_ifd(pointer), names))
    if maker_notes_s:
        with _Patience():
            told = maker_notes(image, maker_notes_s)
            ifds["MakerNote"] = {name: plain(value) for name, value in told.items()}
    packet = image.info.get("xmp")
    xmp = xmp_tags(packet) if isinstance(packet, bytes) else {}
    ifds |= {group: {name: plain(value) for name, value in tags.items()} for group, tags in xmp.items()}
    return _reading(ifds, ("Exif", "IFD0", *xmp), keep)


def read_tags(tags: Mapping[str, object], *, keep: Privacy) -> ExifRecord:
    """Read tags that an API or a sidecar told; a group before a name (``ExifIFD:FNumber``) becomes its IFD."""
    ifds: dict[str, Tags] = {}
    for name, value in list(tags.items())[: 4 * _MOST_TAGS]:
        group, _, tag = str(name).rpartition(":")
        ifds.setdefault(group[:_LONGEST_TEXT] or "tags", {})[tag[:_LONGEST_TEXT]] = plain(value)
    return _reading(ifds, list(ifds), keep)


def read_xmp(data: bytes, *, keep: Privacy) -> ExifRecord:
    """Read an XMP sidecar."""
    groups = xmp_tags(data)
    return read_tags({f"{group}:{name}": v for group, tags in groups.items() for name, v in tags.items()}, keep=keep)


def plain(value: object) -> object:
    """Return a value as JSON knows it, of bounded length: rationals as ``28/10``, lists cut, no control characters."""
    match value:
        case str():
            result: object = values.text(value, _LONGEST_TEXT) or ""
        case bytes():
            result = _plain_bytes(value)
        case Mapping():
            items = list(value.items())[:_MOST_ITEMS]
            result = {str(key)[:_LONGEST_TEXT]: plain(part) for key, part in items}
        case Sequence():
            result = [plain(part) for part in value[:_MOST_ITEMS]]
        case _:
            result = _plain_number(value)
    return result


def _plain_number(value: object) -> object:
    if isinstance(value, IFDRational):
        return f"{value.numerator}/{value.denominator}"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < _LARGEST_INTEGER:
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)[:_LONGEST_TEXT]


def _reading(ifds: Mapping[str, Tags], order: Iterable[str], keep: Privacy) -> ExifRecord:
    merged: Tags = {}
    for tags in (*(ifds.get(ifd, {}) for ifd in order), plausible(ifds.get("MakerNote", {}))):
        for name, value in tags.items():
            merged.setdefault(name, value)
    serials = {plain_name(name): value for name, value in merged.items()}
    serial = next((found for name in _SERIALS if (found := _serial(serials.get(name)))), None)
    flat = {f"{ifd}:{name}": value for ifd, tags in ifds.items() for name, value in tags.items()}
    kept: dict[str, dict[str, object]] = {}
    for key, value in without_personal(flat, keep).items():
        ifd, _, name = key.rpartition(":")
        kept.setdefault(ifd, {})[name] = value
    return ExifRecord(normalise(merged), kept, serial)


def _serial(value: object) -> str | None:
    """Return a serial number, unless it is one of the fillers that whole series of cameras share."""
    found = values.text(str(value)) if isinstance(value, str | int) else None
    return found if found and not re.fullmatch(r"[0\s.-]*|none|n/?a|unknown|(.)\1*", found, re.IGNORECASE) else None


def _exif_of(image: Image.Image) -> Image.Exif:
    """Return the EXIF block; Pillow's own ``getexif`` would decode a whole PNG to find one."""
    if image.format in ("TIFF", "DNG"):
        return image.getexif()
    block = image.info.get("exif") or (_png_block(image) if image.format == "PNG" else None)
    exif = Image.Exif()
    if isinstance(block, bytes) and len(block) <= _MOST_EXIF_BYTES:
        exif.load(block)
    return exif


def _png_block(image: Image.Image) -> bytes | None:
    """Return the chunk eXIf of a PNG, which may stand behind the picture data (PNG 1.2, extensions 1.5.0)."""
    file: Any = getattr(image, "fp", None)
    if file is None:
        return None
    place = file.tell()
    try:
        file.seek(_PNG_SIGNATURE_BYTES)
        while len(header := file.read(_PNG_CHUNK.size)) == _PNG_CHUNK.size:
            length, kind = _PNG_CHUNK.unpack(header)
            if kind == b"eXIf" and length <= _MOST_EXIF_BYTES:
                return bytes(file.read(length))
            file.seek(length + 4, io.SEEK_CUR)
    finally:
        file.seek(place)
    return None


def _named(ifd: Mapping[int, object], names: Mapping[int, str]) -> Iterator[tuple[str, object]]:
    for tag in list(ifd)[:_MOST_TAGS]:
        if tag in _POINTERS:
            continue
        value = ifd[tag]
        if tag in _UTF16_TAGS and isinstance(value, bytes):
            value = value[: 2 * _LONGEST_TEXT].decode("utf-16-le", "ignore")
        yield names.get(tag, f"0x{tag:04x}"), plain(value)


def _plain_bytes(value: bytes) -> str:
    head = value[:_LONGEST_TEXT]
    for code in (b"ASCII\0\0\0", b"\0\0\0\0\0\0\0\0"):  # UserComment: the character code stands first
        head = head.removeprefix(code)
    if head.startswith(b"UNICODE\0"):
        return values.text(head[8:].decode("utf-16-le", "ignore"), _LONGEST_TEXT) or ""
    words = head.rstrip(b"\0 ")
    if words.isascii() and words.decode("ascii").isprintable():
        return words.decode("ascii")
    return value.hex() if len(value) <= _LONGEST_HEX_BYTES else f"({len(value)} bytes)"


class _Patience:
    """Let whatever a broken file makes Pillow raise or warn of mean: nothing more can be read here."""

    def __enter__(self) -> None:
        self._warnings = warnings.catch_warnings(action="ignore")
        self._warnings.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._warnings.__exit__(kind, error, trace)
        return kind is not None and issubclass(kind, Exception)
