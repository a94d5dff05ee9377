"""Metadata helpers that several sources share: credit lines, checkpoints, and Flickr's codes."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lightmeter.harvest import licences
from lightmeter.harvest.addresses import scheme_of
from lightmeter.harvest.sources.base import Checkpoint, Cursor, Item, Record, Sighting, Unreadable, convert_record

_MAX_DIGITS = 18

FLICKR_LICENCES = {
    "0": licences.ALL_RIGHTS_RESERVED,
    "1": "CC-BY-NC-SA-2.0",
    "2": "CC-BY-NC-2.0",
    "3": "CC-BY-NC-ND-2.0",
    "4": "CC-BY-2.0",
    "5": "CC-BY-SA-2.0",
    "6": "CC-BY-ND-2.0",
    "7": licences.NO_KNOWN_RESTRICTIONS,
    "8": licences.UNITED_STATES_GOVERNMENT,
    "9": "CC0-1.0",
    "10": licences.PUBLIC_DOMAIN,
    "11": "CC-BY-4.0",
    "12": "CC-BY-SA-4.0",
    "13": "CC-BY-ND-4.0",
    "14": "CC-BY-NC-4.0",
    "15": "CC-BY-NC-SA-4.0",
    "16": "CC-BY-NC-ND-4.0",
}
"""Licences by Flickr's numbers, as flickr.photos.licenses.getInfo lists them."""


def items_with_checkpoints(
    records: Iterable[Record],
    convert: Callable[[Record], Sighting | Unreadable | None],
    cursor: Cursor | None,
    *,
    location: str,
    every: int = 100,
) -> Iterator[Item]:
    """Yield the items of a list from the cursor on, with a checkpoint after every ``every`` records.

    Args:
        records: All records, always in the same order; what cannot be read of them is passed on.
        convert: Returns the item of a record; None to skip the record.
        cursor: Cursor of the last checkpoint.
        location: The list, for records that cannot be converted.
        every: Records between two checkpoints.
    """
    first = cursor["index"] if cursor else 0
    for index, record in enumerate(records):
        if index < first:
            continue
        if isinstance(record, Unreadable):
            yield record
        else:
            yield from convert_record(convert, record, f"{location}, record {index + 1}")
        if (index + 1) % every == 0:
            yield Checkpoint({"index": index + 1})


def as_dict(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a JSON array; an empty one for any other value."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str | None:
    """Return the text of a JSON string or number; None for any other value and for blanks."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return str(value)


def web_url(value: Any) -> str | None:
    """Return a URL of the web; None for any other, so that a stranger's list cannot name local files."""
    text = as_text(value)
    return text if text and scheme_of(text) in ("http", "https") else None


def as_count(value: Any) -> int | None:
    """Return a number of things, also from text such as ``1,234``; None if it is none."""
    text = (as_text(value) or "").replace(",", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def credit_line(title: str | None, owner: str | None, site: str | None) -> str | None:
    """Return a credit line such as ``Fog by Ann on Flickr``; None without an owner."""
    if not owner:
        return None
    return f"{title or 'Photograph'} by {owner}" + (f" on {site}" if site else "")


def flickr_content(value: Any) -> Any:
    """Return the text of a Flickr field, which may be wrapped as ``{"_content": text}``."""
    return value.get("_content") if isinstance(value, dict) else value


def flickr_exif(photo: dict[str, Any]) -> dict[str, Any]:
    """Return the tags of a ``photos.getExif`` photo as ``tagspace:tag``; the first of several values counts."""
    tags: dict[str, Any] = {}
    for entry in map(as_dict, as_list(photo.get("exif"))):
        tag, value = as_text(entry.get("tag")), flickr_content(entry.get("raw"))
        if tag and value is not None:
            tagspace = as_text(entry.get("tagspace"))
            tags.setdefault(f"{tagspace}:{tag}" if tagspace else tag, value)
    return tags
