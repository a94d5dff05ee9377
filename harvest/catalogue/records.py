"""Cleaning of records: what a source yields becomes what both databases can store, and nothing else.

This is the only place where text, numbers and JSON of strangers are cleaned and bounded.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from lightmeter.harvest.addresses import (
    MAX_ADDRESS_LENGTH,
    InvalidAddress,
    parse_address,
    remove_credentials,
    scheme_of,
    strip_address,
)
from lightmeter.harvest.exif.privacy import without_coordinates
from lightmeter.harvest.licences import licence_of_source
from lightmeter.harvest.sources.base import Sighting, SourceRegion, Unreadable

MAX_ID_BYTES = 2000
"""Bytes of an identifier; PostgreSQL indexes at most 2,704 bytes of a row."""

MAX_SITE_LENGTH = 64
MAX_REASON_LENGTH = 500
MAX_TEXT_LENGTHS = {"file": 255, "owner": 255, "file_version": 255, "attribution": 2000, "title": 2000, "licence": 500}
MAX_LICENCE_LENGTH = 64  # of the identifier
MAX_TAGS, MAX_TAG_LENGTH = 1000, 255
MAX_REGIONS = 1000
MAX_JSON_DEPTH, MAX_JSON_ITEMS, MAX_JSON_TEXT_LENGTH, MAX_JSON_KEY_LENGTH = 16, 10_000, 10_000, 255

_MAX_INTEGER = 1 << 63
_MAX_COORDINATE = 1 << 31
_MAX_KIND_LENGTH = 32
_YEARS = range(2, 9999)  # every time zone can show them
_MAX_SHOWN_ADDRESS_LENGTH = 200
_REQUESTED_SCHEMES = ("http", "https", "file")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_TEXT_FIELDS = (
    "media_url", "page_url", "file", "owner", "licence", "attribution", "title", "gone", "file_version",
)  # fmt: skip
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_TEXT_FIELDS, (str,)),
    **dict.fromkeys(("tags", "concepts", "regions"), (tuple, list)),
    "published_at": (datetime,),
    "exif": (Mapping,),
    "metadata": (Mapping,),
}


@dataclass(frozen=True, slots=True)
class CleanRecord:
    """A sighting that can be stored.

    Attributes:
        item: The sighting.
        authorisation: Value of the Authorization header for its download; not stored.
        problem: Why nothing can be downloaded, or None.
    """

    item: Sighting
    authorisation: str | None = None
    problem: str | None = None


def clean_record(item: object, provider: str) -> CleanRecord | Unreadable:
    """Return a sighting as it can be stored; `Unreadable` if it has no identifier or is none.

    A field that is too long is cut. A field of the wrong type fails the record, with the name of the field.

    Args:
        item: What the source yielded.
        provider: Name and package of the source, for messages.
    """
    if isinstance(item, Unreadable):
        return Unreadable(stable_text(remove_credentials(str(item.location))), clean_reason(str(item.reason)))
    if not isinstance(item, Sighting):
        return Unreadable(_location(item, provider), f"the source yields {type(item).__name__} instead of Sighting")
    if not isinstance(item.source_id, str) or not item.source_id:
        return Unreadable(_location(item, provider), f"source_id is {_shown(item.source_id)} instead of a text")
    wrong = _wrong_type(item)
    if wrong:
        item = Sighting(source_id=item.source_id)  # without a URL, because its licence is not known
    return _cleaned(item, f"invalid record: {wrong} ({provider})" if wrong else None)


def stable_text(text: str, max_bytes: int = MAX_ID_BYTES) -> str:
    """Return a text that identifies something; one that must be changed or cut ends with its hash.

    Example:
        >>> stable_text("fog.jpg")
        'fog.jpg'
        >>> stable_text("fog" * 1000, 40)
        'fogfogfogfogfogfogfogfo#5d88b4ea0f0b1ea1'
    """
    clean = _UNSTORABLE.sub("\ufffd", text)
    if clean == text and len(text.encode()) <= max_bytes:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return clean.encode()[: max_bytes - len(digest) - 1].decode("utf-8", "ignore") + f"#{digest}"


def clean_text(text: str, max_length: int) -> str:
    """Return text that both databases can store, without credentials in URLs, cut to a length."""
    text = remove_credentials(_UNSTORABLE.sub("\ufffd", text[: 4 * max_length]))
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


def clean_reason(reason: str) -> str:
    """Return the reason of a state in one line."""
    return clean_text(" ".join(reason[: 4 * MAX_REASON_LENGTH].split()), MAX_REASON_LENGTH)


def clean_json(value: object) -> Any:
    """Return JSON that both databases can store; what is nested too deeply or beyond the limit of items is left out."""
    return _JsonCleaner().clean(value, 0)


class _JsonCleaner:
    """Converts one value to JSON, up to a number of items."""

    def __init__(self) -> None:
        self._remaining = MAX_JSON_ITEMS

    def clean(self, value: object, depth: int) -> Any:
        self._remaining -= 1
        if self._remaining < 0 or depth > MAX_JSON_DEPTH:
            return None
        match value:
            case None | bool():
                clean: Any = value
            case str():
                clean = clean_text(value, MAX_JSON_TEXT_LENGTH)
            case int():
                clean = value if -_MAX_INTEGER <= value < _MAX_INTEGER else None
            case float():
                clean = value if math.isfinite(value) else None
            case Mapping():
                items = list(value.items())[: max(0, self._remaining)]
                clean = {clean_text(str(key), MAX_JSON_KEY_LENGTH): self.clean(item, depth + 1) for key, item in items}
            case bytes() | bytearray():
                clean = clean_text(bytes(value[:MAX_JSON_TEXT_LENGTH]).decode("utf-8", "replace"), MAX_JSON_TEXT_LENGTH)
            case Sequence() | set() | frozenset():
                clean = [self.clean(item, depth + 1) for item in list(value)[: max(0, self._remaining)]]
            case _ if getattr(value, "ndim", None) == 0:  # a scalar of numpy
                clean = self.clean(value.item(), depth + 1)  # type: ignore[attr-defined]
            case _:
                clean = clean_text(str(value), MAX_JSON_TEXT_LENGTH)
        return clean


def _wrong_type(item: Sighting) -> str | None:
    """Return a sentence about the first field of a wrong type, or None."""
    for name, types in _TYPES.items():
        value = getattr(item, name)
        if value is not None and not isinstance(value, types):
            return f"{name} is {_shown(value)} instead of a {types[0].__name__.lower().replace('str', 'text')}"
    for name in ("tags", "concepts"):
        for value in getattr(item, name) or ():
            if not isinstance(value, str):
                return f"{name} contains {_shown(value)} instead of texts"
    for name, values in (("medium", ("film", "digital")), ("exif_origin", ("api", "sidecar"))):
        value = getattr(item, name)
        if value is not None and (not isinstance(value, str) or value not in values):
            return f"{name} is {_shown(value)} instead of {' or '.join(values)}"
    return None


def _location(item: object, provider: str) -> str:
    """Return the location of an item without an identifier: the source and how the item looks."""
    return stable_text(remove_credentials(f"{provider}: {_repr(item)[:500]}"))


def _shown(value: object) -> str:
    """Return a value as a message shows it."""
    return "None" if value is None else f"{clean_text(_repr(value), 60)} ({type(value).__name__})"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - values of plugins
        return type(value).__name__


def _cleaned(item: Sighting, problem: str | None) -> CleanRecord:
    media_url, authorisation, reason = _media_url(item.media_url)
    texts: dict[str, Any] = {name: _text(getattr(item, name), length) for name, length in MAX_TEXT_LENGTHS.items()}
    metadata = without_coordinates(clean_json(item.metadata)) or {}
    texts["licence"] = _text(licence_of_source(texts["licence"], metadata), MAX_LICENCE_LENGTH)
    texts["file"] = texts["file"] or _file_name(media_url)
    clean = replace(
        item,
        **texts,
        source_id=stable_text(remove_credentials(media_url if _is_address(item) and media_url else item.source_id)),
        media_url=media_url,
        page_url=_page_url(item.page_url),
        tags=_texts(item.tags),
        concepts=_texts(item.concepts),
        gone=None if item.gone is None else clean_reason(item.gone) or "gone",
        published_at=_time(item.published_at),
        exif=clean_json(item.exif) or None,
        regions=_regions(item.regions),
        metadata=metadata,
    )
    problem = problem or reason
    return CleanRecord(clean, authorisation, clean_reason(problem) if problem else None)


def _media_url(url: str | None) -> tuple[str | None, str | None, str | None]:
    """Return the URL to store, the credentials for it, and why it cannot be requested."""
    if not url:
        return None, None, None
    url = _UNSTORABLE.sub("\ufffd", url)
    try:
        address = parse_address(url)
    except InvalidAddress as error:
        if scheme_of(url) not in _REQUESTED_SCHEMES:
            return clean_text(url, _MAX_SHOWN_ADDRESS_LENGTH), None, None
        storable = remove_credentials(url) if len(url) <= MAX_ADDRESS_LENGTH else None
        return storable, None, f"invalid address: {error}: {clean_text(url, 100)}"
    return remove_credentials(address.url), address.authorisation, None


def _is_address(item: Sighting) -> bool:
    return item.media_url is not None and item.source_id.strip() == item.media_url.strip()


def _page_url(url: str | None) -> str | None:
    """Return the URL of a page, also if it is none; None if it is too long."""
    if not url or len(url) > MAX_ADDRESS_LENGTH:
        return None
    return remove_credentials(_UNSTORABLE.sub("\ufffd", strip_address(url))) or None


def _file_name(media_url: str | None) -> str | None:
    """Return the decoded last part of a URL's path."""
    try:
        path = urlsplit(media_url or "").path
    except ValueError:
        return None
    name = unquote(path.rpartition("/")[2], errors="replace").replace("/", "_")
    return clean_text(name, MAX_TEXT_LENGTHS["file"]) or None


def _text(text: str | None, max_length: int) -> str | None:
    return clean_text(text, max_length).strip() or None if text else None


def _texts(texts: Sequence[str] | None) -> tuple[str, ...]:
    clean = (_text(text, MAX_TAG_LENGTH) for text in (texts or ())[:MAX_TAGS])
    return tuple(text for text in clean if text)


def _time(time: datetime | None) -> datetime | None:
    """Return a time in UTC; None if it is outside the years that databases store."""
    if time is None:
        return None
    try:
        utc = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None
    return utc if utc.year in _YEARS else None


def _regions(regions: Sequence[object] | None) -> tuple[SourceRegion, ...]:
    """Return the regions with a box in whole pixels; others cannot be shown."""
    clean = (_region(region) for region in (regions or ())[:MAX_REGIONS])
    return tuple(region for region in clean if region)


def _region(region: object) -> SourceRegion | None:
    if not isinstance(region, SourceRegion) or not isinstance(region.kind, str) or not region.kind:
        return None
    box = [clean_json(value) for value in (region.x, region.y, region.width, region.height)]
    if not all(isinstance(value, int) and abs(value) < _MAX_COORDINATE for value in box):
        return None
    details = clean_json(region.details) if isinstance(region.details, Mapping) else None
    x, y, width, height = box
    return SourceRegion(clean_text(region.kind, _MAX_KIND_LENGTH), x, y, width, height, details)
