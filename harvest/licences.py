"""Licences under one name each: SPDX identifiers where SPDX has one, else a ``LicenseRef-`` of our own."""

import re

PUBLIC_DOMAIN = "LicenseRef-public-domain"
ALL_RIGHTS_RESERVED = "LicenseRef-all-rights-reserved"
NO_KNOWN_RESTRICTIONS = "LicenseRef-no-known-copyright-restrictions"
UNITED_STATES_GOVERNMENT = "LicenseRef-US-government-work"

_CREATIVE_COMMONS = re.compile(
    r"(?:cc|creativecommons\.org/licenses/?|creative commons)[\s/_-]*"
    r"(?P<terms>by(?:[\s_-]+(?:nc|nd|sa))*)[\s/_-]*(?P<version>\d\.\d)?[\s/_-]*(?P<port>[a-z]{2}\b)?",
    re.IGNORECASE,
)
_ZERO = re.compile(r"\bcc[\s_-]*(?:0|zero)\b|publicdomain/zero", re.IGNORECASE)
_MARK = re.compile(r"publicdomain/mark|public domain|\bpd\b|\bpdm\b|^pd-", re.IGNORECASE)
_RESERVED = re.compile(r"all rights reserved|\(c\)|©", re.IGNORECASE)
_PORTED = frozenset({("BY", "3.0", "at"), ("BY", "3.0", "de"), ("BY", "3.0", "nl"), ("BY", "3.0", "us")})
_WORDS = {"attribution": "by", "noncommercial": "nc", "noderivatives": "nd", "noderivs": "nd", "sharealike": "sa"}


def normalise(said: str | None) -> str | None:
    """Return the identifier for a licence as a source names it: a name, a short form or an address.

    Returns:
        An identifier; what was said, if nothing is known of it; None if nothing was said.
    """
    if not said or not said.strip():
        return None
    text = said.strip()
    if _ZERO.search(text):
        return "CC0-1.0"
    found = _CREATIVE_COMMONS.search(_short(text))
    if found:
        return _creative_commons(found)
    if _MARK.search(text):
        return PUBLIC_DOMAIN
    if _RESERVED.search(text):
        return ALL_RIGHTS_RESERVED
    return text


def _short(text: str) -> str:
    """Return text with Creative Commons' long words made short: *Attribution-ShareAlike* becomes ``by-sa``."""
    text = re.sub(r"(?i)non-commercial", "noncommercial", text)
    text = re.sub(r"(?i)share[\s-]alike", "sharealike", text)
    text = re.sub(r"(?i)no[\s-]deriv", "noderiv", text)
    return re.sub(r"(?i)\b(" + "|".join(_WORDS) + r")\b", lambda word: _WORDS[word[0].lower()], text)


def _creative_commons(found: re.Match[str]) -> str:
    """Return SPDX's name; a ported version counts as SPDX lists it, else as the unported one."""
    terms = "-".join(re.split(r"[\s_-]+", found["terms"].upper()))
    terms = terms.replace("BY-ND-NC", "BY-NC-ND").replace("BY-SA-NC", "BY-NC-SA")
    version = found["version"] or "4.0"
    port = (found["port"] or "").lower()
    return f"CC-{terms}-{version}" + (f"-{port.upper()}" if (terms, version, port) in _PORTED else "")
