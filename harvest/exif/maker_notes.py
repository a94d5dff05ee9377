"""MakerNotes, through exifread (the extra ``makernotes``), within a time limit: some take it seconds to get lost in."""

import logging
import re
from typing import Any

from PIL import Image

from lightmeter.time_limit import TimeLimitExceeded, time_limit

_PREFIX = "MakerNote "
_UNNAMED = re.compile(r"Tag 0x[0-9A-Fa-f]+|.*Unknown.*")
_COLUMNS = frozenset({"SerialNumber", "InternalSerialNumber", "LensModel"})


def maker_notes(image: Image.Image, seconds: float) -> dict[str, object]:
    """Return the MakerNote tags of an opened image that have a name, as exifread gives them.

    What has no name is left out: nobody can tell whether it holds something personal.

    Args:
        image: its file is left where it stood.
        seconds: after which there are none.
    """
    import exifread

    file: Any = getattr(image, "fp", None)
    if file is None:
        return {}
    logging.getLogger("exifread").setLevel(logging.CRITICAL)
    place = file.tell()
    try:
        file.seek(0)
        with time_limit(seconds):
            tags = exifread.process_file(file, extract_thumbnail=False, builtin_types=True)
    except TimeLimitExceeded:
        return {}
    finally:
        file.seek(place)
    names = {name.removeprefix(_PREFIX).strip(): value for name, value in tags.items() if name.startswith(_PREFIX)}
    return {name: value for name, value in names.items() if not _UNNAMED.fullmatch(name)}


def plausible(tags: dict[str, object]) -> dict[str, object]:
    """Return the tags that may fill a column; what else sounds like one is a setting, such as the ISO asked for."""
    return {name: value for name, value in tags.items() if name in _COLUMNS}
