"""MakerNotes, read by exifread (extra ``makernotes``) within a time limit, since some take seconds to parse."""

import logging
import re
from typing import Any

from PIL import Image

from lightmeter.time_limit import TimeLimitExceeded, time_limit

_PREFIX = "MakerNote "
_UNNAMED = re.compile(r"Tag 0x[0-9A-Fa-f]+|.*Unknown.*")
_PLAUSIBLE_TAGS = frozenset({"SerialNumber", "InternalSerialNumber", "LensModel"})


def maker_notes(image: Image.Image, timeout_s: float) -> dict[str, object]:
    """Return the named MakerNote tags of an opened image, with the values of exifread.

    Tags without a name are excluded, because they may contain personal data.

    Args:
        image: An opened image; the position of its file is restored.
        timeout_s: Time limit in seconds, after which there are no tags.
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
    named = {name.removeprefix(_PREFIX).strip(): value for name, value in tags.items() if name.startswith(_PREFIX)}
    return {name: value for name, value in named.items() if not _UNNAMED.fullmatch(name)}


def plausible(tags: dict[str, object]) -> dict[str, object]:
    """Return the MakerNote tags that may fill a column; the others are settings, such as the requested ISO."""
    return {name: value for name, value in tags.items() if name in _PLAUSIBLE_TAGS}
