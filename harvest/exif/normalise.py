"""Normalisation: the tags of any source to the normalised columns."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from lightmeter.exposure import parse_number
from lightmeter.harvest.exif import parsers
from lightmeter.harvest.exif.columns import EXIF_COLUMNS, ExifValues
from lightmeter.harvest.exif.crop_factor import crop_factor

Value = TypeVar("Value")
Tags = Mapping[str, object]

_ISO_TAGS = ("photographicsensitivity", "isospeedratings", "iso")
_OTHER_ISO_TAGS = ("isospeed", "isosetting", "baseiso", "exposureindex")
_SENSITIVITY_TAGS = {
    1: ("standardoutputsensitivity",),
    2: ("recommendedexposureindex",),
    3: ("isospeed",),
    4: ("recommendedexposureindex", "standardoutputsensitivity"),
    5: ("isospeed", "standardoutputsensitivity"),
    6: ("isospeed", "recommendedexposureindex"),
    7: ("isospeed", "recommendedexposureindex", "standardoutputsensitivity"),
}
"""Tags that hold the ISO in full where it exceeds 65,535, by SensitivityType (Exif 2.32, tag 0x8830)."""
_ALL_SENSITIVITY_TAGS = ("standardoutputsensitivity", "recommendedexposureindex", "isospeed")

_FOCAL_LENGTH_35MM_TAGS = ("focallengthin35mmfilm", "focallengthin35mmformat", "focallength35mmformat")
_DATE_TAGS = (
    ("datetimeoriginal", "offsettimeoriginal"),
    ("dateandtimeoriginal", "offsettimeoriginal"),
    ("datetimedigitized", "offsettimedigitized"),
    ("createdate", "offsettimedigitized"),
    ("dateandtimedigitized", "offsettimedigitized"),
)
_COLUMN_OF_TAG = {
    "lensmodel": "lens",
    "fnumber": "f_number",
    "aperturevalue": "f_number",
    "exposuretime": "exposure_time_s",
    "shutterspeedvalue": "exposure_time_s",
    "photographicsensitivity": "iso",
    "isospeedratings": "iso",
    "focallength": "focal_length_mm",
    "focallengthin35mmfilm": "focal_length_35mm",
    "focallengthin35mmformat": "focal_length_35mm",
    "flash": "flash_fired",
    "datetimeoriginal": "taken_at",
}

_FILM_TAGS = (("filmmaker", "film"), ("filmmaker", "filmname"), ("capturefilmmanufacturer", "capturefilmstock"))
"""Maker and name of the film in AnalogExif, its variants, and NegPy."""

_UNKNOWN_FILM = "unknown"
_FILM_SCANNER = 1  # FileSource (Exif 2.32, tag 0xA300)
_SCAN_TAGS = ("scancameramodel", "scanmethod", "capturecameramodel")
_COPIED_CAPTURE = {
    "make": "capturecameramake", "model": "capturecameramodel", "lensmodel": "capturelensmodel", "iso": "captureiso",
    "focallength": "capturefocallength", "datetimeoriginal": "capturedate",
}  # fmt: skip
"""Tags of NegPy about the camera that exposed the film, by the EXIF tag with the same meaning."""

_CAPTURE_TAGS = frozenset({
    *_COPIED_CAPTURE, *_ISO_TAGS, *_OTHER_ISO_TAGS, *_ALL_SENSITIVITY_TAGS, *_FOCAL_LENGTH_35MM_TAGS, "lens",
    "lenstype", "fnumber", "aperturevalue", "aperture", "exposuretime", "exposure", "shutterspeedvalue", "shutterspeed",
    "flash",
    *(tag for tags in _DATE_TAGS for tag in tags),
})  # fmt: skip


def normalise(tags: Tags) -> ExifValues:
    """Return the normalised columns of tags from any program.

    Args:
        tags: Values by name: the name in EXIF (``FNumber``), with or without a group (``ExifIFD:``, ``exif:``,
            ``EXIF ``), or the label on Flickr (``Aperture``, ``Focal Length (35mm format)``).

    Example:
        >>> normalise({"EXIF FNumber": "28/10"}).f_number
        2.8
    """
    plain: dict[str, object] = {}
    for name, value in tags.items():
        plain.setdefault(plain_name(str(name)), value)
    if describes_copying(plain):
        kept = {name: value for name, value in plain.items() if name not in _CAPTURE_TAGS}
        plain = kept | {name: plain[source] for name, source in _COPIED_CAPTURE.items() if source in plain}
    return ExifValues(
        make=_first(plain, parsers.text, "make"),
        model=_first(plain, parsers.text, "model"),
        lens=_first(plain, parsers.text, "lensmodel", "lens", "lenstype"),
        film=_film(plain),
        software=_first(plain, parsers.text, "software", "creatortool"),
        f_number=_first(plain, parsers.f_number, "fnumber")
        or _first(plain, parsers.f_number_apex, "aperturevalue")
        or _first(plain, parsers.aperture_label, "aperture"),
        exposure_time_s=_first(plain, parsers.exposure_time, "exposuretime", "exposure")
        or _first(plain, parsers.exposure_time_apex, "shutterspeedvalue", "shutterspeed"),
        iso=_iso(plain),
        focal_length_mm=_first(plain, parsers.focal_length, "focallength"),
        focal_length_35mm=_focal_length_35mm(plain),
        flash_fired=_first(plain, parsers.flash_fired, "flash"),
        taken_at=_taken_at(plain),
        orientation=_first(plain, parsers.orientation, "orientation"),
    )


def describes_copying(tags: Tags) -> bool:
    """Return whether the EXIF is that of the digital camera that copied a negative, as NegPy records it.

    Args:
        tags: Values by plain name or by name.
    """
    tags = {plain_name(str(name)): value for name, value in tags.items()}
    model = _first(tags, parsers.text, "model")
    return model is not None and model == _first(tags, parsers.text, "scancameramodel")


def column_of(name: str) -> str:
    """Return the column of an EXIF tag; an unknown name is returned unchanged.

    Example:
        >>> column_of("FNumber")
        'f_number'
    """
    plain = plain_name(name)
    return _COLUMN_OF_TAG.get(plain, plain if plain in EXIF_COLUMNS else name)


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """Return a tag's name without group, case, spaces and punctuation: ``ExifIFD:FNumber`` gives ``fnumber``."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^(?:(?:EXIF|Image|Thumbnail) (?=[A-Z])|.*:)", "", name[:200]).lower())


def _first(tags: Tags, parse: Callable[[object], Value | None], *names: str) -> Value | None:
    """Return the value of the first tag that holds a plausible one."""
    for name in names:
        if name in tags:
            value = parse(tags[name])
            if value is not None:
                return value
    return None


def _iso(tags: Tags) -> float | None:
    sensitivity_type = parse_number(tags.get("sensitivitytype")) or 0
    sensitivity_tags = _SENSITIVITY_TAGS.get(int(sensitivity_type), _ALL_SENSITIVITY_TAGS)
    return _first(tags, parsers.iso, *_ISO_TAGS, *sensitivity_tags, *_OTHER_ISO_TAGS)


def _focal_length_35mm(tags: Tags) -> float | None:
    """Return the value of the tag, or else the focal length times the crop factor if that is certain."""
    equivalent = _first(tags, parsers.focal_length, *_FOCAL_LENGTH_35MM_TAGS)
    focal_length = _first(tags, parsers.focal_length, "focallength")
    factor = crop_factor(_first(tags, parsers.text, "make") or "", _first(tags, parsers.text, "model") or "")
    return round(focal_length * factor, 1) if equivalent is None and focal_length and factor else equivalent


def _taken_at(tags: Tags) -> str | None:
    moments = (parsers.date_time(tags.get(name), tags.get(offset)) for name, offset in _DATE_TAGS)
    return next((moment for moment in moments if moment is not None), None)


def _film(tags: Tags) -> str | None:
    """Return the film with its maker; ``unknown`` if the tags only say that film was scanned."""
    for maker_tag, name_tag in _FILM_TAGS:
        name = _first(tags, parsers.text, name_tag)
        maker = _first(tags, parsers.text, maker_tag)
        if name:
            return name if maker is None or maker.lower() in name.lower() else f"{maker} {name}"
    is_scan = any(name in tags for name in _SCAN_TAGS) or parse_number(tags.get("filesource")) == _FILM_SCANNER
    return _UNKNOWN_FILM if is_scan else None
