"""SPDX identifiers of licences; where SPDX has none, a ``LicenseRef-`` of our own."""

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
_OTHERS = (
    (NO_KNOWN_RESTRICTIONS, re.compile(r"no[ -]known copyright restrictions|flickr\.com/commons/usage", re.IGNORECASE)),
    (UNITED_STATES_GOVERNMENT, re.compile(r"united states government|us-government-work|usa\.gov", re.IGNORECASE)),
    (PUBLIC_DOMAIN, re.compile(r"publicdomain/mark|public[ -]domain|\bpd\b|\bpdm\b|^pd-", re.IGNORECASE)),
    (ALL_RIGHTS_RESERVED, re.compile(r"all[ -]rights[ -]reserved|\(c\)|©", re.IGNORECASE)),
)
_PORTED = frozenset({("BY", "3.0", "at"), ("BY", "3.0", "de"), ("BY", "3.0", "nl"), ("BY", "3.0", "us")})
_ABBREVIATIONS = (
    (r"\battribution\b", "by"),
    (r"\bnon-?commercial\b", "nc"),
    (r"\bno[\s-]?deriv(?:atives|s)\b", "nd"),
    (r"\bshare[\s-]?alike\b", "sa"),
)


def normalise_licence(text: str | None) -> str | None:
    """Return the identifier of a licence given by name, short form or URL.

    Returns:
        An SPDX identifier or one of our own; the text itself if the licence is unknown; None if there is no text.

    Example:
        >>> normalise_licence("https://creativecommons.org/licenses/by-nc-nd/2.0/")
        'CC-BY-NC-ND-2.0'
        >>> normalise_licence("All rights reserved")
        'LicenseRef-all-rights-reserved'
    """
    text = (text or "").strip()
    if not text:
        return None
    if _ZERO.search(text):
        return "CC0-1.0"
    match = _CREATIVE_COMMONS.search(_abbreviate(text))
    if match:
        return _creative_commons_identifier(match)
    return next((identifier for identifier, pattern in _OTHERS if pattern.search(text)), text)


def _abbreviate(text: str) -> str:
    """Replace the long names of Creative Commons conditions: ``Attribution-ShareAlike`` becomes ``by-sa``."""
    for name, abbreviation in _ABBREVIATIONS:
        text = re.sub(name, abbreviation, text, flags=re.IGNORECASE)
    return text


def _creative_commons_identifier(match: re.Match[str]) -> str:
    """Return SPDX's identifier; a ported version that SPDX does not list becomes the unported one."""
    terms = "-".join(re.split(r"[\s_-]+", match["terms"].upper()))
    terms = terms.replace("BY-ND-NC", "BY-NC-ND").replace("BY-SA-NC", "BY-NC-SA")
    version = match["version"] or "4.0"
    port = (match["port"] or "").lower()
    return f"CC-{terms}-{version}" + (f"-{port.upper()}" if (terms, version, port) in _PORTED else "")
