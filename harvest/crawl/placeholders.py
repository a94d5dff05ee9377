"""Pictures that say "this picture is gone": hosts serve them with status 200 where a photograph was removed."""

import hashlib
from urllib.parse import urlsplit

_LARGEST = 4096
_DIGESTS = frozenset(
    {
        "d835884373f4d6c8f24742ceabe74946",  # imgur: 161 × 81, "The image you are requesting does not exist"
        "f17b01901c752c1bb04928131d1661af",  # i.redd.it: 130 × 60, "… it was probably deleted"
    }
)
"""MD5, which is what is publicly known of them."""

_ADDRESSES = frozenset({"i.imgur.com/removed.png", "s.yimg.com/pw/images/en-us/photo_unavailable.png"})
"""Where a request for a removed photograph is sent."""


def is_placeholder(url: str, data: bytes) -> bool:
    """Return whether what came is such a picture.

    Args:
        url: from which it came in the end, behind all redirects.
        data: its bytes.
    """
    parts = urlsplit(url)
    if f"{parts.hostname}{parts.path}" in _ADDRESSES:
        return True
    return len(data) <= _LARGEST and hashlib.md5(data, usedforsecurity=False).hexdigest() in _DIGESTS
