"""Tags of any source in, the normalised columns out."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from lightmeter.exposure import parse_number
from lightmeter.harvest.exif import parsers as values
from lightmeter.harvest.exif.columns import EXIF_COLUMNS, ExifValues
from lightmeter.harvest.exif.crop_factor import crop_factor

Value = TypeVar("Value")
Tags = Mapping[str, object]

_UNKNOWN_ISO_KINDS = ("standardoutputsensitivity", "recommendedexposureindex", "isospeed")
_ISO_BY_SENSITIVITY_TYPE = {
    1: ("standardoutputsensitivity",),
    2: ("recommendedexposureindex",),
    3: ("isospeed",),
    4: ("recommendedexposureindex", "standardoutputsensitivity"),
    5: ("isospeed", "standardoutputsensitivity"),
    6: ("isospeed", "recommendedexposureindex"),
    7: ("isospeed", "recommendedexposureindex", "standardoutputsensitivity"),
}
"""What SensitivityType (Exif 2.32, tag 0x8830) says that PhotographicSensitivity is; there it is whole where 65,535
does not hold it."""


def normalise(raw_tags: Tags) -> ExifValues:
    """Return what tags say, whoever wrote them.

    Args:
        raw_tags: values of any form by name: EXIF's (``FNumber``), with or without a group before it (``ExifIFD:``,
            ``exif:``, ``EXIF ``), or the label that Flickr shows (``Aperture``, ``Focal Length (35mm format)``).
    """
    tags = _by_plain_name(raw_tags)
    return ExifValues(
        make=_first(tags, values.text, "make"),
        model=_first(tags, values.text, "model"),
        lens=_first(tags, values.text, "lensmodel", "lens", "lenstype"),
        software=_first(tags, values.text, "software", "creatortool"),
        f_number=_first(tags, values.f_number, "fnumber")
        or _first(tags, values.f_number_apex, "aperturevalue")
        or _first(tags, _aperture_label, "aperture"),
        exposure_time_s=_first(tags, values.exposure_time, "exposuretime", "exposure")
        or _first(tags, values.exposure_time_apex, "shutterspeedvalue", "shutterspeed"),
        iso=_iso(tags),
        focal_length_mm=_first(tags, values.focal_length, "focallength"),
        focal_length_35mm=_focal_length_35mm(tags),
        flash_fired=_first(tags, values.flash_fired, "flash"),
        taken_at=_taken_at(tags),
        orientation=_first(tags, values.orientation, "orientation"),
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


def column_of(name: str) -> str:
    """Return the column that keeps what an EXIF tag tells: ``FNumber`` gives ``f_number``; other names as they are."""
    plain = plain_name(name)
    return _COLUMN_OF_TAG.get(plain, plain if plain in EXIF_COLUMNS else name)


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """Return a tag's name without group, case, blanks and signs: ``ExifIFD:FNumber`` gives ``fnumber``."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^(?:(?:EXIF|Image|Thumbnail) (?=[A-Z])|.*:)", "", name[:200]).lower())


def _by_plain_name(raw_tags: Tags) -> dict[str, object]:
    tags: dict[str, object] = {}
    for name, value in raw_tags.items():
        tags.setdefault(plain_name(str(name)), value)
    return tags


def _first(tags: Tags, parse: Callable[[object], Value | None], *names: str) -> Value | None:
    """Return what the first tag that holds anything credible says."""
    parsed = (parse(tags[name]) for name in names if name in tags)
    return next((value for value in parsed if value is not None), None)


def _iso(tags: Tags) -> float | None:
    kind = parse_number(tags.get("sensitivitytype"))
    named = _ISO_BY_SENSITIVITY_TYPE.get(int(kind) if kind is not None else 0, _UNKNOWN_ISO_KINDS)
    plain = ("photographicsensitivity", "isospeedratings", "iso")
    older = ("isospeed", "isosetting", "baseiso", "exposureindex")
    return _first(tags, values.iso, *plain, *named, *older)


def _focal_length_35mm(tags: Tags) -> float | None:
    """Return the tag's value, else what a crop factor known beyond doubt makes of the focal length."""
    names = ("focallengthin35mmfilm", "focallengthin35mmformat", "focallength35mmformat")
    told = _first(tags, values.focal_length, *names)
    own, model = _first(tags, values.focal_length, "focallength"), _first(tags, values.text, "model")
    factor = crop_factor(model) if model else None
    return round(own * factor, 1) if told is None and own and factor else told


def _aperture_label(value: object) -> float | None:
    """Read what stands under the label *Aperture*, which some sources give both to FNumber and to ApertureValue.

    A fraction over a higher power of two is how cameras write the APEX number (``130/32``), not an f-number.
    """
    fraction = re.fullmatch(r"\s*\d+/(\d{2,9})\s*", value) if isinstance(value, str) else None
    if fraction and int(fraction[1]).bit_count() == 1:
        return values.f_number_apex(value)
    return values.f_number(value)


def _taken_at(tags: Tags) -> str | None:
    moments = (
        values.moment(tags.get(name), tags.get(offset))
        for name, offset in (
            ("datetimeoriginal", "offsettimeoriginal"),
            ("dateandtimeoriginal", "offsettimeoriginal"),
            ("datetimedigitized", "offsettimedigitized"),
            ("createdate", "offsettimedigitized"),
            ("dateandtimedigitized", "offsettimedigitized"),
        )
    )
    return next((moment for moment in moments if moment is not None), None)
