"""Write discovered sightings to the catalogue, in batches."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, tuple_, update

from lightmeter.harvest.addresses import leased_host, scheme_of
from lightmeter.harvest.catalogue.changes.updates import KnownSighting, local_file_version, update_sightings
from lightmeter.harvest.catalogue.database.rows import insert_missing, insert_rows
from lightmeter.harvest.catalogue.items import RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.leases.runs import active_runs
from lightmeter.harvest.catalogue.models import (
    Exif,
    HarvestRun,
    SightingRecord,
    Tombstone,
    UnreadableRecord,
    sighting_key,
    url_key,
)
from lightmeter.harvest.catalogue.models import SightingState as State
from lightmeter.harvest.catalogue.outcomes import exif_row
from lightmeter.harvest.catalogue.records import CleanRecord, clean_record
from lightmeter.harvest.catalogue.regions import metadata_with_regions
from lightmeter.harvest.exif.reader import ExifRecord, read_tags
from lightmeter.harvest.licences import is_allowed
from lightmeter.harvest.sources.base import Sighting, Unreadable

METADATA_ONLY = "metadata only"
"""Reason of photographs that are recorded, but not downloaded."""


@dataclass(frozen=True, slots=True)
class SavedItems:
    """Result of `save_items`.

    Attributes:
        requests: Items to download.
        states: Initial state of each new sighting.
    """

    requests: list[RequestItem]
    states: list[State]


@dataclass(frozen=True, slots=True)
class DiscoveredSighting:
    """A record with its EXIF and the state that it has, or would have, before any download."""

    record: CleanRecord
    exif: ExifRecord | None
    state: State
    reason: str | None
    image_id: int | None = None

    @property
    def item(self) -> Sighting:
        """The cleaned sighting."""
        return self.record.item


def save_items(
    connection: Connection,
    run: int,
    context: SourceContext,
    items: Sequence[Sighting | Unreadable],
    options: RunOptions,
    cursor: dict[str, Any] | None,
    last_id: int = 0,
) -> SavedItems:
    """Save discovered items and the checkpoint behind them.

    Known sightings are updated. Those that an ended run left pending are adopted by this run; those of a run that is
    active in another process are left to it. Removed photographs are ignored. Of items with the same identifier the
    first counts.

    Args:
        connection: Catalogue connection of a transaction that writes.
        run: Id of the harvest run.
        context: Properties of the run's source.
        items: Items as discovered.
        options: Options of the run.
        cursor: Checkpoint of the source behind these items, if it gave one.
        last_id: Id of the last sighting before this process; only sightings of this run beyond it were listed before
            in the same process, and not just before the run was resumed.
    """
    records = _clean_records(connection, run, items, context)
    unique: dict[str, CleanRecord] = {}
    for record in records:
        unique.setdefault(record.item.source_id, record)
    removed = _removed_items(connection, context.site, {source_id: r.item for source_id, r in unique.items()})
    discovered = {
        source_id: _assess(record, options, context) for source_id, record in unique.items() if source_id not in removed
    }
    existing = _existing_sightings(connection, context.site, list(discovered))
    fresh = [sighting for source_id, sighting in discovered.items() if source_id not in existing]
    new = _insert_sightings(connection, run, context.site, fresh)
    earlier = [row for row in existing.values() if run not in (row.run_id, row.updated_run_id)]
    updates: list[KnownSighting] = [
        (row, _sighting_row(run, context.site, discovered[row.source_id]), _source_exif(discovered[row.source_id]))
        for row in earlier
    ]
    again = update_sightings(connection, run, updates, refresh=options.refresh)
    again += _adopt_pending(connection, run, earlier)
    repeated = len(records) - len(unique) + sum(row.run_id == run and row.id > last_id for row in existing.values())
    unchanged = len(removed) + len(fresh) - len(new) + len(earlier) - len(again) + repeated
    _update_run(connection, run, len(new), unchanged, cursor)
    requested = [id_ for id_, sighting in new.items() if sighting.state == State.FOUND] + again
    states = [sighting.state for sighting in new.values()]
    authorisations = {id_: sighting.record.authorisation for id_, sighting in new.items()}
    authorisations |= {row.id: unique[row.source_id].authorisation for row in earlier}
    requests = [
        replace(item, authorisation=authorisations.get(item.sighting_id))
        for item in request_items(connection, requested, options.require)
    ]
    return SavedItems(requests, states)


def request_items(connection: Connection, sightings: Sequence[int], require: Sequence[str]) -> list[RequestItem]:
    """Return the request items of pending sightings.

    Args:
        connection: Catalogue connection.
        sightings: Ids of sightings.
        require: Required EXIF columns; the file must have those that no EXIF of the source provides.
    """
    provided: dict[int, set[str]] = {}
    if require:
        query = select(Exif.sighting_id, *(getattr(Exif, name) for name in require))
        for sighting_id, *values in connection.execute(query.where(Exif.sighting_id.in_(sightings))):
            names = (name for name, value in zip(require, values, strict=True) if value is not None)
            provided.setdefault(sighting_id, set()).update(names)
    urls = select(SightingRecord.id, SightingRecord.media_url).where(SightingRecord.id.in_(sightings))
    return [
        RequestItem(id_, str(url), tuple(name for name in require if name not in provided.get(id_, ())))
        for id_, url in connection.execute(urls.order_by(SightingRecord.id))
    ]


def _clean_records(
    connection: Connection, run: int, items: Sequence[Sighting | Unreadable], context: SourceContext
) -> list[CleanRecord]:
    """Return the records that can be stored; record the others as unreadable."""
    cleaned = [clean_record(item, context.provider) for item in items]
    unreadable = [{"run_id": run, **asdict(record)} for record in cleaned if isinstance(record, Unreadable)]
    insert_missing(connection, UnreadableRecord, unreadable, UnreadableRecord.location, UnreadableRecord.id)
    return [record for record in cleaned if isinstance(record, CleanRecord)]


def _removed_items(connection: Connection, site: str, items: Mapping[str, Sighting]) -> set[str]:
    """Return the source ids of the items that were removed from the project, by id or address."""
    by_id = {sighting_key(site, source_id): source_id for source_id in items}
    by_url = {url_key(item.media_url): source_id for source_id, item in items.items() if item.media_url}
    ids = select(Tombstone.sighting_key).where(Tombstone.sighting_key.in_(list(by_id)))
    urls = select(Tombstone.url_key).where(Tombstone.url_key.in_(list(by_url)))
    return {by_id[str(key)] for key in connection.scalars(ids)} | {by_url[str(key)] for key in connection.scalars(urls)}


def _existing_sightings(connection: Connection, site: str, source_ids: list[str]) -> dict[str, Row[Any]]:
    query = select(SightingRecord.__table__)
    query = query.where(SightingRecord.source == site, SightingRecord.source_id.in_(source_ids))
    return {row.source_id: row for row in connection.execute(query)}


def _assess(record: CleanRecord, options: RunOptions, context: SourceContext) -> DiscoveredSighting:
    if not record.item.file_version:
        record = replace(record, item=replace(record.item, file_version=local_file_version(record.item.media_url)))
    exif = read_tags(record.item.exif, keep_all=context.keep_all_tags) if record.item.exif else None
    return DiscoveredSighting(record, exif, *_initial_state(record, exif, options, context))


def _insert_sightings(
    connection: Connection, run: int, site: str, sightings: Sequence[DiscoveredSighting]
) -> dict[int, DiscoveredSighting]:
    """Insert sightings with their EXIF; return by id those that no other process has inserted meanwhile."""
    linked = _link_images(connection, sightings)
    rows = [_sighting_row(run, site, sighting) for sighting in linked]
    ids = insert_missing(connection, SightingRecord, rows, SightingRecord.source_id, SightingRecord.id)
    new = {ids[sighting.item.source_id]: sighting for sighting in linked if sighting.item.source_id in ids}
    exif = {id_: _source_exif(sighting) for id_, sighting in new.items()}
    insert_rows(connection, Exif, [{"sighting_id": id_, **row} for id_, row in exif.items() if row])
    return new


def _link_images(connection: Connection, sightings: Sequence[DiscoveredSighting]) -> list[DiscoveredSighting]:
    """Give sightings the images that were already downloaded from their URLs, whatever the source."""
    table = SightingRecord
    urls = [sighting.item.media_url for sighting in sightings if sighting.item.media_url]
    query = select(table.media_url, table.file_version, table.image_id)
    query = query.where(table.media_url.in_(urls), table.state == State.FETCHED, table.image_id.is_not(None))
    images = {(url, version): image_id for url, version, image_id in connection.execute(query)}

    def linked(sighting: DiscoveredSighting) -> DiscoveredSighting:
        image_id = images.get((sighting.item.media_url, sighting.item.file_version))
        if image_id is None or sighting.state != State.FOUND:
            return sighting
        reason = "same URL as an earlier sighting"
        return replace(sighting, state=State.FETCHED, reason=reason, image_id=image_id)

    return [linked(sighting) for sighting in sightings]


def _initial_state(
    record: CleanRecord, exif: ExifRecord | None, options: RunOptions, context: SourceContext
) -> tuple[State, str | None]:
    """Return state and reason as far as they can be decided before the download."""
    item = record.item
    if item.gone is not None:
        return State.GONE, item.gone
    if record.problem and not item.media_url:
        return State.FAILED, record.problem
    return _excluded(item, exif, options) or _not_downloadable(record, context) or (State.FOUND, None)


def _excluded(item: Sighting, exif: ExifRecord | None, options: RunOptions) -> tuple[State, str] | None:
    if options.licences and not is_allowed(item.licence, options.licences):
        return State.REFUSED, f"licence: {item.licence or 'none given'}"
    missing = _missing(exif, options.require) if exif and item.exif_origin == "api" else ()
    if missing:
        return State.SKIPPED, f"required EXIF missing: {', '.join(missing)}"
    return (State.SKIPPED, METADATA_ONLY) if options.metadata_only else None


def _not_downloadable(record: CleanRecord, context: SourceContext) -> tuple[State, str] | None:
    media_url = record.item.media_url
    if not media_url:
        return State.FAILED, "no media URL"
    if scheme_of(media_url) not in context.schemes:
        return State.REFUSED, f"unsupported address: {media_url[:100]}"
    return (State.FAILED, record.problem) if record.problem else None


def _missing(exif: ExifRecord | None, required: tuple[str, ...]) -> tuple[str, ...]:
    """Return the required columns that the source did not provide."""
    return tuple(name for name in required if exif is None or getattr(exif.values, name) is None)


def _sighting_row(run: int, site: str, sighting: DiscoveredSighting) -> dict[str, Any]:
    item, now = sighting.item, datetime.now(UTC)
    same_name = (
        "source_id", "media_url", "page_url", "file", "owner", "licence", "attribution", "title", "medium",
        "published_at", "file_version",
    )  # fmt: skip
    return {
        **{name: getattr(item, name) for name in same_name},
        "run_id": run,
        "source": site,
        "host": leased_host(item.media_url or ""),
        "tags": list(item.tags) or None,
        "concepts": list(item.concepts) or None,
        "source_metadata": metadata_with_regions(item),
        "state": sighting.state,
        "reason": sighting.reason,
        "attempts": 0,
        "image_id": sighting.image_id,
        "found_at": now,
        "changed_at": now,
    }


def _source_exif(sighting: DiscoveredSighting) -> dict[str, Any] | None:
    return exif_row(sighting.item.exif_origin, sighting.exif) if sighting.exif else None


def _adopt_pending(connection: Connection, run: int, sightings: Sequence[Row[Any]]) -> list[int]:
    """Assign the pending ones of some sightings to a run, except those of active runs; return their ids."""
    pending = [row for row in sightings if row.state == State.FOUND]
    if not pending:
        return []
    active = active_runs(connection, {row.run_id for row in pending})
    adopted = [(row.id, row.run_id) for row in pending if row.run_id not in active]
    statement = update(SightingRecord).where(tuple_(SightingRecord.id, SightingRecord.run_id).in_(adopted))
    return list(connection.scalars(statement.values(run_id=run).returning(SightingRecord.id)))


def _update_run(connection: Connection, run: int, new: int, existing: int, cursor: dict[str, Any] | None) -> None:
    changes: dict[str, Any] = {"new": HarvestRun.new + new, "existing": HarvestRun.existing + existing}
    if cursor is not None:
        changes["cursor"] = cursor
    connection.execute(update(HarvestRun).where(HarvestRun.id == run).values(changes))
