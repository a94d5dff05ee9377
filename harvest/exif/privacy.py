"""Personal data in EXIF: it is not stored unless the project's settings ask for it."""

from collections.abc import Mapping

from lightmeter.harvest.exif.normalise import plain_name
from lightmeter.settings import PrivacySection

_SERIAL_NUMBERS = frozenset({"cameraid", "ownerid"})
"""Tags of serial numbers, besides those with ``serial`` in their name."""

_NAMES = frozenset({
    "artist", "author", "authors", "byline", "cameraownername", "copyright", "copyrightnotice", "creator", "credit",
    "creditline", "hostcomputer", "imageeditor", "owner", "ownername", "personinimage", "photographer", "rights",
    "xpauthor", "0xa437", "0xa438",
})  # fmt: skip

_OPAQUE = frozenset({
    "dngprivatedata", "imageresources", "iptcnaa", "makernote", "makernotetiff", "photoshop", "printim",
    "printimagematching", "xmlpacket",
})  # fmt: skip
"""Tags whose values contain other tags, which cannot be checked."""

_MIN_SECRET_LENGTH = 5


def without_personal(tags: Mapping[str, object], privacy: PrivacySection) -> dict[str, object]:
    """Return the tags that may be stored.

    A tag is excluded by its name, or if its text contains the value of an excluded tag, such as a name in a
    description.

    Args:
        tags: Values by name.
        privacy: Personal data that may be stored.
    """
    personal = {name for name in tags if is_personal(name, privacy)}
    secrets = {str(tags[name]).strip() for name in personal}
    secrets = {secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH}
    return {
        name: value
        for name, value in tags.items()
        if name not in personal and not any(secret in str(value) for secret in secrets)
    }


def is_personal(name: str, privacy: PrivacySection) -> bool:
    """Return whether the name of a tag excludes it; opaque tags are always excluded."""
    plain = plain_name(name)
    return (
        plain in _OPAQUE
        or ((plain in _SERIAL_NUMBERS or "serial" in plain) and not privacy.keep_serial_numbers)
        or (plain in _NAMES and not privacy.keep_names)
        or (plain.startswith("gps") and not privacy.keep_gps)
    )
