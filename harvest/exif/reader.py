"""EXIF from files, and from the tags of APIs and sidecars. Invalid data never raises an exception."""

import io
import logging
import math
import re
import struct
import warnings
from collections.abc import Iterator, Mapping, Reversible, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.harvest.exif.normalise import normalise, plain_name
from lightmeter.harvest.exif.parsers import text
from lightmeter.harvest.exif.privacy import without_personal
from lightmeter.harvest.exif.xmp import xmp_tags
from lightmeter.harvest.time_limit import TimeLimitExceeded, time_limit
from lightmeter.settings import PrivacySection

_MAX_TAGS = 512
_MAX_ITEMS = 64
_MAX_TEXT_LENGTH = 1000
_MAX_HEX_BYTES = 32
_MAX_INTEGER = 1 << 63
_MAX_EXIF_BYTES = 1 << 20
_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK = struct.Struct(">I4s")
_USER_COMMENT_CODES = (b"ASCII\0\0\0", b"\0\0\0\0\0\0\0\0")  # the encoding stands before the text
_UTF16_TAGS = range(ExifTags.Base.XPTitle, ExifTags.Base.XPSubject + 1)
_SERIAL_TAGS = ("bodyserialnumber", "cameraserialnumber", "serialnumber", "internalserialnumber")
_PLACEHOLDER_SERIAL = re.compile(r"[0\s.-]*|none|n/?a|unknown|(.)\1*", re.IGNORECASE)
_IFDS = {
    "Exif": ExifTags.IFD.Exif,
    "GPS": ExifTags.IFD.GPSInfo,
    "Interop": ExifTags.IFD.Interop,
    "IFD1": ExifTags.IFD.IFD1,
}
_POINTERS = frozenset({ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop})

_MAKER_NOTE = "MakerNote "
_UNNAMED = re.compile(r"Tag 0x[0-9A-Fa-f]+|.*Unknown.*")
_PLAUSIBLE_MAKER_NOTES = frozenset({"SerialNumber", "InternalSerialNumber", "LensModel"})
"""MakerNote tags that may fill a column; the others are settings, such as the requested ISO."""

Tags = dict[str, object]


@dataclass(frozen=True, slots=True)
class ExifRecord:
    """EXIF from one origin.

    Attributes:
        values: The normalised columns.
        raw: JSON values of all tags by IFD, without personal data unless the settings ask for it.
        serial: Serial number of the camera body; only its hash is stored.
    """

    values: ExifValues = field(default_factory=ExifValues)
    raw: dict[str, dict[str, object]] = field(default_factory=dict)
    serial: str | None = field(default=None, repr=False)


def read_exif(data: bytes | Path, *, privacy: PrivacySection) -> ExifRecord:
    """Read the EXIF of a file without decoding its pixels.

    Args:
        data: Bytes or path of the file.
        privacy: Personal data that is stored.

    Returns:
        The EXIF; empty if none can be read.

    Example:
        >>> read_exif(b"not an image", privacy=PrivacySection()).values.f_number is None
        True
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    with suppress(Exception), warnings.catch_warnings(action="ignore"), Image.open(file) as image:
        return read_image(image, privacy=privacy)
    return ExifRecord()


def read_image(image: Image.Image, *, privacy: PrivacySection, maker_notes_s: float = 0.0) -> ExifRecord:
    """Read the EXIF of an image that Pillow has opened.

    Args:
        image: The opened image, decoded or not.
        privacy: Personal data that is stored.
        maker_notes_s: Time limit for MakerNotes, in seconds; 0: not read.
    """
    ifds: dict[str, Tags] = {}
    with _errors_ignored():
        exif = _exif_block(image)
        ifds["IFD0"] = dict(_named_tags(exif, ExifTags.TAGS))
        for name, pointer in _IFDS.items():
            with _errors_ignored():
                names = ExifTags.GPSTAGS if name == "GPS" else ExifTags.TAGS
                ifds[name] = dict(_named_tags(exif.get_ifd(pointer), names))
    if maker_notes_s:
        with _errors_ignored():
            ifds["MakerNote"] = _json_values(_maker_notes(image, maker_notes_s))
    packet = image.info.get("xmp")
    xmp = _by_ifd(_json_values(xmp_tags(packet))) if isinstance(packet, bytes) else {}
    return _record(ifds | xmp, ("Exif", "IFD0", *xmp), privacy)


def read_tags(tags: Mapping[str, object], *, privacy: PrivacySection) -> ExifRecord:
    """Read the tags of an API or a sidecar.

    Args:
        tags: Values by name; a group before a name (``ExifIFD:FNumber``) becomes the IFD.
        privacy: Personal data that is stored.

    Example:
        >>> read_tags({"FNumber": "28/10"}, privacy=PrivacySection()).values.f_number
        2.8
    """
    ifds = _by_ifd(_json_values(dict(list(tags.items())[: 4 * _MAX_TAGS])))
    return _record(ifds, ifds, privacy)


def json_value(value: object) -> object:
    """Convert a value to JSON: rationals as ``28/10``, text without control characters, everything truncated."""
    match value:
        case str():
            converted: object = text(value, _MAX_TEXT_LENGTH) or ""
        case bytes():
            converted = _json_bytes(value)
        case Mapping():
            items = list(value.items())[:_MAX_ITEMS]
            converted = {str(key)[:_MAX_TEXT_LENGTH]: json_value(item) for key, item in items}
        case Sequence():
            converted = [json_value(item) for item in value[:_MAX_ITEMS]]
        case IFDRational():
            converted = f"{value.numerator}/{value.denominator}"
        case None | bool():
            converted = value
        case int() if abs(value) < _MAX_INTEGER:
            converted = value
        case float() if math.isfinite(value):
            converted = value
        case _:
            converted = str(value)[:_MAX_TEXT_LENGTH]
    return converted


def _json_bytes(value: bytes) -> str:
    head = value[:_MAX_TEXT_LENGTH]
    for code in _USER_COMMENT_CODES:
        head = head.removeprefix(code)
    if head.startswith(b"UNICODE\0"):
        return text(head[8:].decode("utf-16-le", "ignore"), _MAX_TEXT_LENGTH) or ""
    content = head.rstrip(b"\0 ")
    if content.isascii() and content.decode("ascii").isprintable():
        return content.decode("ascii")
    return value.hex() if len(value) <= _MAX_HEX_BYTES else f"({len(value)} bytes)"


def _record(ifds: Mapping[str, Tags], precedence: Reversible[str], privacy: PrivacySection) -> ExifRecord:
    """Make a record of tags by IFD; for normalisation the first IFD that has a tag takes precedence."""
    maker_notes = ifds.get("MakerNote", {})
    merged = {name: value for name, value in maker_notes.items() if name in _PLAUSIBLE_MAKER_NOTES}
    for ifd in reversed(precedence):
        merged |= ifds.get(ifd, {})
    by_plain_name = {plain_name(name): value for name, value in merged.items()}
    serials = (_serial_number(by_plain_name.get(name)) for name in _SERIAL_TAGS)
    tags = {f"{ifd}:{name}": value for ifd, tags in ifds.items() for name, value in tags.items()}
    raw = _by_ifd(without_personal(tags, privacy))
    return ExifRecord(normalise(merged), raw, next(filter(None, serials), None))


def _json_values(tags: Mapping[str, object]) -> Tags:
    return {str(name): json_value(value) for name, value in tags.items()}


def _by_ifd(tags: Mapping[str, object]) -> dict[str, Tags]:
    """Return tags by IFD and name; the IFD is the group before a name (``ExifIFD:FNumber``)."""
    ifds: dict[str, Tags] = {}
    for name, value in tags.items():
        ifd, _, tag = name.rpartition(":")
        ifds.setdefault(ifd[:_MAX_TEXT_LENGTH] or "tags", {})[tag[:_MAX_TEXT_LENGTH]] = value
    return ifds


def _serial_number(value: object) -> str | None:
    """Return a serial number, unless it is a placeholder that many cameras share."""
    serial = text(str(value)) if isinstance(value, str | int) else None
    return serial if serial and not _PLACEHOLDER_SERIAL.fullmatch(serial) else None


def _maker_notes(image: Image.Image, timeout_s: float) -> Tags:
    """Return the named MakerNote tags as exifread reads them; none after the time limit, since some take seconds.

    Tags without a name are excluded, because they may contain personal data.
    """
    import exifread

    file: Any = getattr(image, "fp", None)
    if file is None:
        return {}
    logging.getLogger("exifread").setLevel(logging.CRITICAL)
    position = file.tell()
    try:
        file.seek(0)
        with time_limit(timeout_s):
            tags = exifread.process_file(file, extract_thumbnail=False, builtin_types=True)
    except TimeLimitExceeded:
        return {}
    finally:
        file.seek(position)
    named = {name.removeprefix(_MAKER_NOTE).strip(): tags[name] for name in tags if name.startswith(_MAKER_NOTE)}
    return {name: value for name, value in named.items() if not _UNNAMED.fullmatch(name)}


def _exif_block(image: Image.Image) -> Image.Exif:
    """Return the EXIF block; Pillow's own ``getexif`` would decode a whole PNG to find it."""
    if image.format in ("TIFF", "DNG"):
        return image.getexif()
    block = image.info.get("exif") or (_png_exif_chunk(image) if image.format == "PNG" else None)
    exif = Image.Exif()
    if isinstance(block, bytes) and len(block) <= _MAX_EXIF_BYTES:
        exif.load(block)
    return exif


def _png_exif_chunk(image: Image.Image) -> bytes | None:
    """Return the eXIf chunk of a PNG, which may follow the pixels (PNG 1.2, extensions 1.5.0)."""
    file: Any = getattr(image, "fp", None)
    if file is None:
        return None
    position = file.tell()
    try:
        file.seek(_PNG_SIGNATURE_BYTES)
        while len(header := file.read(_PNG_CHUNK.size)) == _PNG_CHUNK.size:
            length, kind = _PNG_CHUNK.unpack(header)
            if kind == b"eXIf" and length <= _MAX_EXIF_BYTES:
                return bytes(file.read(length))
            file.seek(length + 4, io.SEEK_CUR)
    finally:
        file.seek(position)
    return None


def _named_tags(ifd: Mapping[int, object], names: Mapping[int, str]) -> Iterator[tuple[str, object]]:
    for tag in list(ifd)[:_MAX_TAGS]:
        if tag in _POINTERS:
            continue
        value = ifd[tag]
        if tag in _UTF16_TAGS and isinstance(value, bytes):
            value = value[: 2 * _MAX_TEXT_LENGTH].decode("utf-16-le", "ignore")
        yield names.get(tag, f"0x{tag:04x}"), json_value(value)


@contextmanager
def _errors_ignored() -> Iterator[None]:
    """Ignore the exceptions and warnings of readers: decoders of hostile files raise nearly anything."""
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        yield
