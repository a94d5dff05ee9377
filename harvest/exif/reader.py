"""EXIF and XMP from files, and from the tags of APIs and sidecars. Invalid data never raises an exception."""

import io
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path

from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.harvest.exif.containers import metadata_blocks
from lightmeter.harvest.exif.normalise import describes_copying, normalise, plain_name
from lightmeter.harvest.exif.parsers import text
from lightmeter.harvest.exif.privacy import storable_tags
from lightmeter.harvest.exif.tags import Tags, directory_tags
from lightmeter.harvest.exif.xmp import xmp_tags
from lightmeter.harvest.time_limit import TimeLimitExceeded, time_limit
from lightmeter.images.tiff import Directory, read_directories

_MAX_TAGS = 512
_MAX_ITEMS = 64
_MAX_TEXT_LENGTH = 1000
_MAX_HEX_BYTES = 32
_MAX_INTEGER = 1 << 63
_MAX_BLOCKS = 64
_XMP_TAG = 0x02BC
_DIRECTORIES = ("Exif", "IFD0", "GPS", "Interop", "IFD1")
_FILM_GROUPS = ("XMP-AnalogExif", "XMP-NegPy")
_SERIAL_TAGS = ("bodyserialnumber", "cameraserialnumber", "serialnumber", "internalserialnumber")
_PLACEHOLDER_SERIAL = re.compile(r"[0\s.-]*|none|n/?a|unknown|(.)\1*", re.IGNORECASE)
_PLAUSIBLE_MAKER_NOTES = frozenset({"SerialNumber", "InternalSerialNumber", "LensModel"})
"""MakerNote tags that may fill a column; the others are settings, such as the requested ISO."""

_MAKER_NOTE_PREFIX = "MakerNote "
_UNNAMED_MAKER_NOTE = re.compile(r"Tag 0x[0-9A-Fa-f]+|.*Unknown.*")

Ifds = dict[str, Tags]
"""JSON values by directory and tag; the values of XMP by group and tag."""


@dataclass(frozen=True)  # slots would make the messages of worker processes slow
class ExifRecord:
    """EXIF from one origin.

    Attributes:
        values: The normalised columns.
        raw: JSON values of the tags by directory; technical tags only unless the settings ask for all.
        serial: Serial number of the camera body; only its hash is stored.
    """

    values: ExifValues = field(default_factory=ExifValues)
    raw: dict[str, dict[str, object]] = field(default_factory=dict)
    serial: str | None = field(default=None, repr=False)


def read_exif(data: bytes | Path, *, keep_all: bool = False, maker_notes_s: float = 0.0) -> ExifRecord:
    """Read the EXIF and XMP of a file of any format without decoding its pixels.

    Args:
        data: Bytes or path of the file.
        keep_all: Whether tags that are not technical are kept.
        maker_notes_s: Time limit for MakerNotes, in seconds; 0: not read.

    Returns:
        The EXIF; empty if none can be read.

    Example:
        >>> read_exif(b"not an image").values.f_number is None
        True
    """
    if isinstance(data, Path):
        try:
            data = data.read_bytes()
        except OSError:
            return ExifRecord()
    exif, xmp = _read_blocks(data)
    if maker_notes_s:
        exif["MakerNote"] = _json_values(_maker_notes(data, maker_notes_s))
    layers = [_merged(exif | xmp, ("Exif", "IFD0", *_FILM_GROUPS)), _merged(xmp, tuple(xmp))]
    return _record(exif | xmp, layers, keep_all=keep_all)


def read_tags(tags: Mapping[str, object], *, keep_all: bool = False) -> ExifRecord:
    """Read the tags of an API or a sidecar.

    Args:
        tags: Values by name; a group before a name (``ExifIFD:FNumber``) becomes the IFD.
        keep_all: Whether tags that are not technical are kept.

    Example:
        >>> read_tags({"FNumber": "28/10"}).values.f_number
        2.8
    """
    ifds = _by_ifd(_json_values(dict(islice(tags.items(), 4 * _MAX_TAGS))))
    return _record(ifds, [_merged(ifds, tuple(ifds))], keep_all=keep_all)


def json_value(value: object) -> object:
    """Convert a value to JSON: rationals as ``28/10``, text without control characters, everything truncated."""
    match value:
        case str():
            converted: object = text(value, _MAX_TEXT_LENGTH) or ""
        case None | bool():
            converted = value
        case int() if abs(value) < _MAX_INTEGER:
            converted = value
        case float() if math.isfinite(value):
            converted = value
        case bytes():
            converted = _json_bytes(value)
        case Mapping():
            items = list(value.items())[:_MAX_ITEMS]
            converted = {str(key)[:_MAX_TEXT_LENGTH]: json_value(item) for key, item in items}
        case Sequence():
            converted = [json_value(item) for item in value[:_MAX_ITEMS]]
        case _:
            converted = str(value)[:_MAX_TEXT_LENGTH]
    return converted


def _json_bytes(value: bytes) -> str:
    content = value[:_MAX_TEXT_LENGTH].rstrip(b"\0 ")
    if content.isascii() and content.decode("ascii").isprintable():
        return content.decode("ascii")
    return value.hex() if len(value) <= _MAX_HEX_BYTES else f"({len(value)} bytes)"


def _read_blocks(data: bytes) -> tuple[Ifds, Ifds]:
    """Return the tags of EXIF and of XMP; of several blocks the first that has a tag takes precedence."""
    exif: Ifds = {}
    packets: list[bytes] = []
    for block in islice(metadata_blocks(data), _MAX_BLOCKS):
        if block.kind == "xmp":
            packets.append(block.data)
            continue
        directories = read_directories(block.data, block.root)
        packets += _packets_of(directories)
        for numbered, directory in directories.items():
            name = "Exif" if numbered.startswith("Exif") else numbered
            if name in _DIRECTORIES:
                exif[name] = _json_values(directory_tags(name, directory)) | exif.get(name, {})
    xmp: Ifds = {}
    for packet in packets:
        for name, tags in _by_ifd(_json_values(xmp_tags(packet))).items():
            xmp[name] = tags | xmp.get(name, {})
    return exif, xmp


def _packets_of(directories: Mapping[str, Directory]) -> list[bytes]:
    field = directories.get("IFD0", {}).get(_XMP_TAG)
    return [field.data] if field else []


def _merged(ifds: Ifds, precedence: Sequence[str]) -> Tags:
    """Return the tags of several directories; the first that has a tag takes precedence."""
    maker_notes = ifds.get("MakerNote", {})
    merged = {name: value for name, value in maker_notes.items() if name in _PLAUSIBLE_MAKER_NOTES}
    for ifd in reversed(precedence):
        merged |= ifds.get(ifd, {})
    return merged


def _record(ifds: Ifds, layers: Sequence[Tags], *, keep_all: bool) -> ExifRecord:
    """Make a record of tags by directory; columns are filled from the first of the layers that has a value."""
    if not any(ifds.values()):
        return ExifRecord()
    by_plain_name = {plain_name(name): value for tags in reversed(layers) for name, value in tags.items()}
    serials = (_serial_number(by_plain_name.get(name)) for name in _SERIAL_TAGS)
    tags = {f"{ifd}:{name}": value for ifd, tags in ifds.items() for name, value in tags.items()}
    raw = _by_ifd(storable_tags(tags, keep_all=keep_all))
    return ExifRecord(_values(layers), raw, next(filter(None, serials), None))


def _values(layers: Sequence[Tags]) -> ExifValues:
    values = normalise(layers[0])
    if describes_copying(layers[0]):
        return values
    for tags in filter(None, layers[1:]):
        others = normalise(tags)
        missing = [column.name for column in fields(values) if getattr(values, column.name) is None]
        values = replace(values, **{name: getattr(others, name) for name in missing})
    return values


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


def _maker_notes(data: bytes, timeout_s: float) -> Tags:
    """Return the named MakerNote tags that exifread reads; none after the time limit, since some take seconds.

    Tags without a name are excluded, because they may contain personal data.

    Args:
        data: Bytes of the file.
        timeout_s: Time limit in seconds.
    """
    import exifread

    logging.getLogger("exifread").setLevel(logging.CRITICAL)
    try:
        with time_limit(timeout_s):
            tags = exifread.process_file(io.BytesIO(data), extract_thumbnail=False, builtin_types=True)
    except TimeLimitExceeded:
        return {}
    except Exception:  # noqa: BLE001 - readers of hostile files raise nearly anything
        return {}
    named = {
        name.removeprefix(_MAKER_NOTE_PREFIX).strip(): tags[name]
        for name in tags
        if name.startswith(_MAKER_NOTE_PREFIX)
    }
    return {name: value for name, value in named.items() if not _UNNAMED_MAKER_NOTE.fullmatch(name)}
