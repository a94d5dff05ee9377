"""Names and values of EXIF tags: what each tag should hold, whatever type a program gave it (Exif 2.32 and 3.0)."""

from PIL import ExifTags

from lightmeter.images.tiff import LONG, POINTERS, SLONG, UNDEFINED, Directory, Field

Tags = dict[str, object]

_EXIF_3 = {
    0xA436: "ImageTitle", 0xA437: "Photographer", 0xA438: "ImageEditor", 0xA439: "CameraFirmware",
    0xA43A: "RAWDevelopingSoftware", 0xA43B: "ImageEditingSoftware", 0xA43C: "MetadataEditingSoftware",
}  # fmt: skip
_NAMES = {**{int(tag): name for tag, name in ExifTags.TAGS.items()}, **_EXIF_3}

_TEXTS = frozenset({
    0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290,
    0x9291, 0x9292, 0xA420, 0xA430, 0xA431, 0xA433, 0xA434, 0xA435, *_EXIF_3, 0xC614, 0xC615, 0xFDE8, 0xFDE9, 0xFDEA,
})  # fmt: skip
_UTF16_TEXTS = frozenset(range(0x9C9B, 0x9CA0))  # XPTitle to XPSubject
_ENCODED_TEXTS = frozenset({0x9286})  # UserComment
_ENCODED_GPS_TEXTS = frozenset({0x1B, 0x1C})
_SINGLE_NUMBERS = frozenset({
    0x0112, 0x829A, 0x829D, 0x8822, 0x8830, 0x8831, 0x8832, 0x8833, 0x9201, 0x9202, 0x9203, 0x9204, 0x9205, 0x9206,
    0x9207, 0x9208, 0x9209, 0x920A, 0xA001, 0xA002, 0xA003, 0xA20B, 0xA215, 0xA217, 0xA300, 0xA301, 0xA401, 0xA402,
    0xA403, 0xA404, 0xA405, 0xA406, 0xA407, 0xA408, 0xA409, 0xA40A, 0xA40C, 0xA500,
})  # fmt: skip
"""Tags of one number; of several values the first counts."""
_NUMBERS = _SINGLE_NUMBERS | {0x8827}
_RATIONALS = frozenset({0x829A, 0x829D, 0x9201, 0x9202, 0x9203, 0x9204, 0x9205, 0x9206, 0x920A, 0xA404})
_SIGNED = frozenset({0x9201, 0x9203, 0x9204})  # some cameras write them as unsigned rationals

_MAX_TEXT_BYTES = 2000
_UNICODE = b"UNICODE\0"
_ENCODINGS = {b"ASCII\0\0\0": "utf-8", bytes(8): "utf-8", b"JIS\0\0\0\0\0": "iso2022_jp"}


def directory_tags(name: str, directory: Directory) -> Tags:
    """Return the values of a directory by the names of their tags; rationals are text such as ``28/10``.

    Args:
        name: Name of the directory, such as ``Exif``.
        directory: Its fields.
    """
    names = ExifTags.GPSTAGS if name == "GPS" else _NAMES
    return {
        names.get(tag, f"0x{tag:04x}"): _gps_value(tag, field) if name == "GPS" else _value(tag, field)
        for tag, field in directory.items()
        if tag not in POINTERS
    }


def _value(tag: int, field: Field) -> object:
    if tag in _TEXTS:
        return field.text()
    if tag in _UTF16_TEXTS:
        return field.data[:_MAX_TEXT_BYTES].decode("utf-16-le", "ignore").partition("\0")[0]
    if tag in _ENCODED_TEXTS:
        return _encoded_text(field)
    return _numbers(tag, field) if tag in _NUMBERS else _any_value(field)


def _gps_value(tag: int, field: Field) -> object:
    return _encoded_text(field) if tag in _ENCODED_GPS_TEXTS else _any_value(field)


def _numbers(tag: int, field: Field) -> object:
    values = field.numbers(signed=tag in _SIGNED)
    if tag in _RATIONALS and field.type in (LONG, SLONG) and len(values) == 2:
        return f"{values[0]}/{values[1]}"
    if not values:
        return None
    return values[0] if tag in _SINGLE_NUMBERS or len(values) == 1 else values


def _any_value(field: Field) -> object:
    if field.is_text:
        return field.text()
    if field.type == UNDEFINED:
        return field.data
    values = field.numbers()
    return values[0] if len(values) == 1 else values


def _encoded_text(field: Field) -> str:
    """Return text behind the eight bytes that name its encoding (Exif 2.32, tag 0x9286)."""
    code, content = field.data[:8], field.data[8:_MAX_TEXT_BYTES]
    if code == _UNICODE:
        return _utf16(content, field.order).partition("\0")[0].strip()
    encoding = _ENCODINGS.get(code)
    text = content.decode(encoding, "replace") if encoding else field.data.decode("utf-8", "replace")
    return text.partition("\0")[0].strip()


def _utf16(content: bytes, order: str) -> str:
    """Return UTF-16 in the byte order of its mark, or that which gives more Latin letters, or that of the file."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "ignore")
    high_first, low_first = content[::2].count(0), content[1::2].count(0)
    if not high_first and not low_first and content.isascii():  # some programs write single bytes
        return content.decode("ascii")
    if high_first != low_first:
        order = ">" if high_first > low_first else "<"
    return content.decode("utf-16-be" if order == ">" else "utf-16-le", "ignore")
