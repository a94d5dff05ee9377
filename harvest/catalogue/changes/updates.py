"""Update known sightings with what a source provides now, and find those whose file has changed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, insert, select, update
from w3lib.url import file_uri_to_path

from lightmeter.harvest.catalogue.models import Exif, SightingRecord
from lightmeter.harvest.catalogue.models import SightingState as State

_REPORTED = (
    "page_url", "owner", "licence", "attribution", "title", "tags", "medium", "concepts", "published_at",
)  # fmt: skip
_UNREPORTED = ("media_url", "file", "source_metadata")  # counters and signed addresses change all the time

Values = Mapping[str, Any]
KnownSighting = tuple[Row[Any], Values, Values | None]
"""A sighting as stored, the row that it would have as a new one, and the row of the source's EXIF."""


def update_sightings(
    connection: Connection, run: int, sightings: Sequence[KnownSighting], *, refresh: bool
) -> list[int]:
    """Update known sightings of earlier runs.

    A value that the source no longer provides is kept, and so is one that a person has edited. A sighting whose file
    must be downloaded again, or now for the first time, becomes pending in this run.

    Args:
        connection: Catalogue connection of a transaction that writes.
        run: Id of the harvest run.
        sightings: Known sightings.
        refresh: Whether all files are downloaded again.

    Returns:
        Ids of the sightings that became pending.
    """
    stored_exif = _source_exif(connection, [row.id for row, _, exif in sightings if exif])
    pending = []
    for row, new, exif in sightings:
        changes = {name: new[name] for name in (*_REPORTED, *_UNREPORTED) if _is_changed(row, new, name)}
        exif_changed = exif is not None and _save_exif(connection, row.id, stored_exif.get(row.id), exif)
        if "media_url" in changes:
            changes["host"] = new["host"]
        if exif_changed or not changes.keys().isdisjoint(_REPORTED):
            changes["updated_run_id"] = run
        changes |= _state_changes(row, new, run, refresh=refresh)
        if changes:
            changes["changed_at"] = datetime.now(UTC)
            connection.execute(update(SightingRecord).where(SightingRecord.id == row.id).values(changes))
        if changes.get("state") == State.FOUND:
            pending.append(row.id)
    return pending


def local_file_version(media_url: str | None) -> str | None:
    """Return size and modification time of a local file; None for other URLs and for files that are missing."""
    if not media_url or not media_url.startswith("file:"):
        return None
    try:
        status = Path(file_uri_to_path(media_url)).stat()
    except (OSError, ValueError):
        return None
    return f"{status.st_size}-{status.st_mtime_ns}"


def _is_changed(row: Row[Any], new: Values, name: str) -> bool:
    if name == "concepts" and row.concepts:  # another search found the photograph; it keeps its class
        return False
    return new[name] is not None and new[name] != getattr(row, name) and name not in (row.edited or ())


def _state_changes(row: Row[Any], new: Values, run: int, *, refresh: bool) -> dict[str, Any]:
    """Return the changes that make a sighting pending, or that give it another reason not to be downloaded."""
    requested = {"run_id": run, "state": State.FOUND, "reason": None, "file_version": new["file_version"]}
    requested["host"] = new["host"]
    if row.state == State.FOUND:
        return {}
    if row.attempts == 0 and row.image_id is None:  # decided before any download, perhaps with other options
        if new["state"] == State.FOUND:
            return requested
        changed = (row.state, row.reason) != (new["state"], new["reason"])
        return {"state": new["state"], "reason": new["reason"]} if changed else {}
    if new["state"] != State.FOUND or not (refresh or _has_other_file(row, new)):
        return {}
    return requested


def _has_other_file(row: Row[Any], new: Values) -> bool:
    """Return whether a source names another version or path of the file; parameters of addresses are ignored."""
    if new["file_version"] is not None:
        return bool(new["file_version"] != row.file_version)
    return urlsplit(new["media_url"] or "").path != urlsplit(row.media_url or "").path


def _source_exif(connection: Connection, sightings: Sequence[int]) -> dict[int, Row[Any]]:
    query = select(Exif.id, Exif.sighting_id, Exif.origin, Exif.raw).where(Exif.sighting_id.in_(sightings))
    return {row.sighting_id: row for row in connection.execute(query.order_by(Exif.id))}


def _save_exif(connection: Connection, sighting: int, stored: Row[Any] | None, exif: Values) -> bool:
    """Save the EXIF that a source provides; return whether it has changed."""
    if stored is None:
        connection.execute(insert(Exif).values(sighting_id=sighting, **exif))
    elif (stored.origin, stored.raw) != (exif["origin"], exif["raw"]):
        connection.execute(update(Exif).where(Exif.id == stored.id).values(exif))
    else:
        return False
    return True
