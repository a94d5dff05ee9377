"""MakerNotes, which the optional package exifread reads."""

import io
import logging
import re

from lightmeter.harvest.exif.tags import Tags
from lightmeter.harvest.time_limit import TimeLimitExceeded, time_limit

PLAUSIBLE_MAKER_NOTES = frozenset({"SerialNumber", "InternalSerialNumber", "LensModel"})
"""MakerNote tags that may fill a column; the others are settings, such as the requested ISO."""

_PREFIX = "MakerNote "
_UNNAMED = re.compile(r"Tag 0x[0-9A-Fa-f]+|.*Unknown.*")


def maker_notes(data: bytes, timeout_s: float) -> Tags:
    """Return the named MakerNote tags of a file; none after the time limit, since some take seconds.

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
    named = {name.removeprefix(_PREFIX).strip(): tags[name] for name in tags if name.startswith(_PREFIX)}
    return {name: value for name, value in named.items() if not _UNNAMED.fullmatch(name)}
