"""SPDX identifiers of licences; where SPDX has none, a ``LicenseRef-`` of our own."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

PUBLIC_DOMAIN = "LicenseRef-public-domain"
ALL_RIGHTS_RESERVED = "LicenseRef-all-rights-reserved"
NO_KNOWN_RESTRICTIONS = "LicenseRef-no-known-copyright-restrictions"
UNITED_STATES_GOVERNMENT = "LicenseRef-US-government-work"

_MAX_LENGTH = 1000
_VERSION_FIELDS = ("license_version", "licence_version")
_WORD = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?|\+")
_JOINED_TERMS = re.compile(r"(cc)?(by)(nc)?(nd|sa)?")  # CCBYSA
_LONG_TERMS = {
    "attribution": "by",
    "creativecommons": "cc",
    "noncommercial": "nc",
    "noderiv": "nd",
    "noderivs": "nd",
    "noderivatives": "nd",
    "sharealike": "sa",
}
_LONG_PAIRS = {
    ("creative", "commons"): "cc",
    ("non", "commercial"): "nc",
    ("no", "deriv"): "nd",
    ("no", "derivs"): "nd",
    ("no", "derivatives"): "nd",
    ("share", "alike"): "sa",
    ("public", "domain"): "pd",
}
_VERSIONS = {"1": "1.0", "2": "2.0", "3": "3.0", "4": "4.0"} | {
    v: v for v in ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
}
_CREATIVE_COMMONS = re.compile(
    r"\b(?:(?P<cc>cc) (?:(?:org|licen[cs]es?|publicdomain) )*)?"
    r"(?:(?P<zero>(?<=[cn] )(?:0|zero))|(?P<mark>(?<=n )mark)|(?P<terms>(?:by|nc|nd|sa)(?: (?:by|nc|nd|sa)\b){0,3}))\b"
    r"(?: (?:licen[cs]e|version|v)\b)?(?: (?P<version>\d+(?:\.\d+)?)\b(?: (?P<port>[a-z]{2}|igo)\b)?)?"
)
_PORTED = frozenset(
    f"CC-{licence}"
    for licence in [
        "BY-2.5-AU",
        "BY-3.0-AT",
        "BY-3.0-AU",
        "BY-3.0-DE",
        "BY-3.0-IGO",
        "BY-3.0-NL",
        "BY-3.0-US",
        "BY-NC-3.0-DE",
        "BY-NC-ND-3.0-DE",
        "BY-NC-ND-3.0-IGO",
        "BY-NC-SA-2.0-DE",
        "BY-NC-SA-2.0-FR",
        "BY-NC-SA-2.0-UK",
        "BY-NC-SA-3.0-DE",
        "BY-NC-SA-3.0-IGO",
        "BY-ND-3.0-DE",
        "BY-SA-2.0-UK",
        "BY-SA-2.1-JP",
        "BY-SA-3.0-AT",
        "BY-SA-3.0-DE",
        "BY-SA-3.0-IGO",
    ]
)
_VERSIONED = re.compile(r"CC0-|CC-BY[A-Z-]*-\d")
_NOISE = frozenset(
    [
        "deed",
        "generic",
        "http",
        "https",
        "int",
        "international",
        "intl",
        "legalcode",
        "licence",
        "licenced",
        "license",
        "licensed",
        "public",
        "the",
        "under",
        "universal",
        "unported",
        "v",
        "version",
        "www",
    ]
)
_SEVERAL_OR_NONE = frozenset(["+", "and", "except", "later", "non", "not", "or", "unless", "without"])
_PHRASES = (
    (NO_KNOWN_RESTRICTIONS, ("no known copyright restrictions", "flickr com commons usage")),
    (UNITED_STATES_GOVERNMENT, ("united states government", "us government work", "usa gov")),
    (ALL_RIGHTS_RESERVED, ("all rights reserved",)),
)


def normalise_licence(text: str | None, version: object = None) -> str | None:
    """Return the identifier of a licence given by name, short form or URL.

    A licence without a version is not given one: ``CC BY`` is ``CC-BY``, not ``CC-BY-4.0``.

    Args:
        text: Licence as a source names it.
        version: Its version, where the source names it separately.

    Returns:
        An SPDX identifier or one of our own; the text itself if it is unknown or names several licences; None if there
        is no text.

    Example:
        >>> normalise_licence("https://creativecommons.org/licenses/by-nc-nd/2.0/")
        'CC-BY-NC-ND-2.0'
        >>> normalise_licence("by", version="4.0")
        'CC-BY-4.0'
        >>> normalise_licence("All rights reserved")
        'LicenseRef-all-rights-reserved'
    """
    text = (text or "").strip()
    if not text:
        return None
    if len(text) > _MAX_LENGTH or text.startswith("LicenseRef-"):
        return text
    identifier = _identifier(text)
    if identifier and version and identifier.startswith("CC-") and not _VERSIONED.match(identifier):
        return _identifier(f"{identifier} {version}") or identifier
    return identifier or text


def spdx_identifier(licence: str | None) -> str:
    """Return a licence as a valid SPDX identifier, whatever a source called it.

    Args:
        licence: Licence as in the catalogue; see `normalise_licence`.

    Example:
        >>> spdx_identifier("CC0-1.0"), spdx_identifier("CC-BY"), spdx_identifier("Ask me!"), spdx_identifier(None)
        ('CC0-1.0', 'LicenseRef-CC-BY', 'LicenseRef-Ask-me', 'NOASSERTION')
    """
    reference = re.sub(r"[^A-Za-z0-9.]+", "-", (licence or "").removeprefix("LicenseRef-")).strip("-.")
    if not (licence or "").strip():
        return "NOASSERTION"
    try:
        return str(canonicalize_license_expression(licence or ""))
    except InvalidLicenseExpression:
        return f"LicenseRef-{reference or 'other'}"


def licence_of_source(text: str | None, metadata: Mapping[str, Any] | None) -> str | None:
    """Return the identifier of a licence whose version may stand in the source's metadata (``license_version``)."""
    version = next((metadata[name] for name in _VERSION_FIELDS if metadata.get(name)), None) if metadata else None
    return normalise_licence(text, version)


def is_allowed(licence: str | None, allowed: Iterable[str]) -> bool:
    """Return whether a licence is one of those allowed, of which one without a version allows all its versions."""
    licence = licence or ""
    return any(licence == name or re.fullmatch(rf"{re.escape(name)}-\d\.\d(?:-[A-Z]+)?", licence) for name in allowed)


def _terms(text: str) -> list[str]:
    """Return the words of a licence in lower case, the terms of Creative Commons abbreviated."""
    terms: list[str] = []
    for word in _WORD.findall(text.lower()):
        if terms and (pair := _LONG_PAIRS.get((terms[-1], word))):
            terms[-1] = pair
        elif joined := _JOINED_TERMS.fullmatch(word):
            terms += [term for term in joined.groups() if term]
        else:
            terms.append(_LONG_TERMS.get(word, word))
    return terms


def _identifier(text: str) -> str | None:
    """Return the identifier of the one licence that a text names; None if it names none or several."""
    terms = _terms(text)
    phrase = " ".join(terms)
    for identifier, phrases in _PHRASES:
        if any(f" {name} " in f" {phrase} " for name in phrases):
            return identifier
    if _SEVERAL_OR_NONE & set(terms):
        return None
    matches = list(_CREATIVE_COMMONS.finditer(phrase))
    if matches:
        return _creative_commons(matches, phrase, text)
    if {"pd", "pdm", "publicdomain"} & set(terms):
        return PUBLIC_DOMAIN
    return ALL_RIGHTS_RESERVED if "©" in text or "(c)" in text.lower() else None


def _creative_commons(matches: list[re.Match[str]], phrase: str, text: str) -> str | None:
    """Return the identifier of Creative Commons licences if all are the same.

    Terms without "CC" are a licence only if nothing else is said, and if they have a version or are abbreviated.
    """
    identifiers = {_creative_commons_identifier(match) for match in matches}
    if not any(match["cc"] for match in matches):
        others = set(_CREATIVE_COMMONS.sub(" ", phrase).split()) - _NOISE
        if others or not (matches[0]["version"] or "attribution" not in text.lower()):
            return None
    longest = max(identifiers, key=lambda identifier: len(identifier or ""))
    return longest if all(identifier and is_allowed(longest, [identifier]) for identifier in identifiers) else None


def _creative_commons_identifier(match: re.Match[str]) -> str | None:
    """Return SPDX's identifier; a ported version that SPDX does not list becomes the unported one."""
    if match["zero"]:
        return "CC0-1.0"
    if match["mark"]:
        return PUBLIC_DOMAIN
    terms = set(match["terms"].split())
    if "by" not in terms or {"nd", "sa"} <= terms:
        return None
    name = "-".join(["CC", *(term.upper() for term in ("by", "nc", "nd", "sa") if term in terms)])
    if not match["version"]:
        return name
    version = _VERSIONS.get(match["version"])
    ported = f"{name}-{version}-{(match['port'] or '').upper()}"
    return None if version is None else ported if ported in _PORTED else f"{name}-{version}"
