"""What of EXIF is personal, and stays out of the catalogue unless the project asks for it."""

from collections.abc import Mapping

from lightmeter.harvest.exif.models import Privacy
from lightmeter.harvest.exif.normalise import plain_name

_SERIAL_NUMBERS = frozenset(
    {
        "bodyserialnumber",
        "cameraserialnumber",
        "serialnumber",
        "serialnumber2",
        "internalserialnumber",
        "lensserialnumber",
        "cameraid",
        "ownerid",
    }
)
_NAMES = frozenset(
    {
        "artist",
        "copyright",
        "cameraownername",
        "ownername",
        "owner",
        "xpauthor",
        "creator",
        "rights",
        "byline",
        "author",
        "authors",
        "photographer",
        "imageeditor",
        "hostcomputer",
        "creditline",
        "credit",
        "copyrightnotice",
        "personinimage",
        "0xa437",
        "0xa438",
    }
)
_OPAQUE = frozenset(
    {
        "makernote",
        "makernotetiff",
        "xmlpacket",
        "iptcnaa",
        "photoshop",
        "imageresources",
        "printim",
        "printimagematching",
        "dngprivatedata",
    }
)
_SHORTEST_SECRET = 5


def without_personal(tags: Mapping[str, object], keep: Privacy) -> dict[str, object]:
    """Return the tags that may be stored.

    Tags are left out by name. A value withheld that stands again inside another tag's text (a name in a description)
    takes that tag with it.
    """
    personal = {name for name in tags if is_personal(name, keep)}
    secrets = {str(tags[name]).strip() for name in personal}
    secrets = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
    return {
        name: value
        for name, value in tags.items()
        if name not in personal and not any(secret in str(value) for secret in secrets)
    }


def is_personal(name: str, keep: Privacy) -> bool:
    """Return whether a tag must stay out, going by its name; packets that hide other tags always do."""
    plain = plain_name(name)
    return (
        plain in _OPAQUE
        or ((plain in _SERIAL_NUMBERS or "serial" in plain) and not keep.serial_numbers)
        or (plain in _NAMES and not keep.names)
        or (plain.startswith("gps") and not keep.gps)
    )
