"""Metadata helpers that several sources share: credit lines, times, checkpoints, and Flickr's codes."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from lightmeter.harvest import licences
from lightmeter.harvest.sources.base import Checkpoint, Cursor, Sighting

Row = TypeVar("Row")

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
    rows: Iterable[Row], to_item: Callable[[Row], Sighting | None], cursor: Cursor | None, every: int = 100
) -> Iterator[Sighting | Checkpoint]:
    """Yield the items of a list from the cursor on, with a checkpoint after every ``every`` rows.

    Args:
        rows: All rows, always in the same order.
        to_item: Returns the item of a row; None to skip the row.
        cursor: Cursor of the last checkpoint.
        every: Rows between two checkpoints.
    """
    first = cursor["index"] if cursor else 0
    for index, row in enumerate(rows):
        if index < first:
            continue
        item = to_item(row)
        if item:
            yield item
        if (index + 1) % every == 0:
            yield Checkpoint({"index": index + 1})


def credit_line(title: str | None, owner: str | None, site: str | None) -> str | None:
    """Return a credit line such as ``Fog by Ann on Flickr``; None without an owner."""
    if not owner:
        return None
    return f"{title or 'Photograph'} by {owner}" + (f" on {site}" if site else "")


def parse_time(value: Any) -> datetime | None:
    """Return an ISO 8601 date or time; UTC if it has no zone, None if it is not one."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def parse_timestamp(seconds: Any) -> datetime | None:
    """Return the time of a Unix timestamp; None if it is not one."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def flickr_content(value: Any) -> Any:
    """Return the text of a Flickr field, which may be wrapped as ``{"_content": text}``."""
    return value.get("_content") if isinstance(value, dict) else value


def flickr_exif(photo: dict[str, Any]) -> dict[str, Any]:
    """Return the tags of a ``photos.getExif`` photo as ``tagspace:tag``; the first of several values counts."""
    tags: dict[str, Any] = {}
    for entry in photo.get("exif", []):
        tags.setdefault(f"{entry['tagspace']}:{entry['tag']}", flickr_content(entry.get("raw")))
    return tags
