"""Which EXIF tags are stored: technical ones, from one list, whatever the origin; everything else only on request."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lightmeter.harvest.exif.columns import TECHNICAL_TAGS
from lightmeter.harvest.exif.normalise import plain_name

_OPAQUE = frozenset({
    "dngprivatedata", "imageresources", "iptcnaa", "makernote", "makernotetiff", "photoshop", "printim",
    "printimagematching", "xmlpacket",
})  # fmt: skip
"""Tags whose values contain other tags, which cannot be checked."""

_COORDINATES = (
    "gps",
    "latitude",
    "longitude",
    "geotag",
    "geolocation",
    "locationcreated",
    "locationshown",
    "coordinates",
)
_SHORT_COORDINATES = frozenset({"lat", "lon", "lng", "latlon", "latlng", "latlong", "lonlat", "coords", "geo"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_MIN_SECRET_LENGTH = 5


def storable_tags(tags: Mapping[str, object], *, keep_all: bool) -> dict[str, object]:
    """Return the tags that may be stored.

    A technical tag is excluded too if its text contains the value of an excluded tag, such as a name in the software.

    Args:
        tags: Values by directory and name (``Exif:FNumber``).
        keep_all: Whether tags that are not technical are stored. Coordinates and opaque tags never are.
    """
    kept = {name: value for name, value in tags.items() if is_storable(name, keep_all=keep_all)}
    excluded = {name: str(tags[name]).strip() for name in tags.keys() - kept.keys()}
    secrets = {text for name, text in excluded.items() if len(text) >= _MIN_SECRET_LENGTH and _may_identify(name, text)}
    return {
        name: value
        for name, value in kept.items()
        if not isinstance(value, str) or not any(secret in value for secret in secrets)
    }


@lru_cache(maxsize=4096)
def is_storable(name: str, *, keep_all: bool) -> bool:
    """Return whether the name of a tag allows to store it."""
    if name.upper().startswith("GPS:") or names_coordinates(name):
        return False
    plain = plain_name(name)
    return plain in TECHNICAL_TAGS or (keep_all and plain not in _OPAQUE)


def names_coordinates(name: str) -> bool:
    """Return whether the name of a tag or of a column says that it holds coordinates, which are never stored."""
    plain, parts = plain_name(name), [word.lower() for word in _WORD.findall(name[:200])]
    return (
        any(text in plain for text in _COORDINATES)
        or not _SHORT_COORDINATES.isdisjoint(parts)
        or parts[-1:] == ["long"]  # but not long_exposure
    )


def without_coordinates(values: Any) -> Any:
    """Return JSON values without the members of objects that hold coordinates, at any depth."""
    if isinstance(values, dict):
        return {name: without_coordinates(value) for name, value in values.items() if not names_coordinates(name)}
    return [without_coordinates(value) for value in values] if isinstance(values, list) else values


def _may_identify(name: str, text: str) -> bool:
    """Return whether a value is text or a serial number; other numbers occur by chance elsewhere."""
    return "serial" in name.lower() or any(character.isalpha() for character in text)
