"""Write discovered sightings and download outcomes to the catalogue, in batches."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import Base, Exif, HarvestRun, Image, Inspection, Region, SightingRecord
from lightmeter.harvest.catalogue.models import SightingState as State
from lightmeter.harvest.catalogue.regions import insert_source_regions, metadata_with_regions
from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.harvest.exif.reader import ExifRecord, read_tags
from lightmeter.harvest.filters.pipeline import InspectionResult
from lightmeter.harvest.ingest_task import IngestedPhoto
from lightmeter.harvest.licences import normalise_licence
from lightmeter.harvest.sources.base import Sighting


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
class _NewSighting:
    """An item that is not in the catalogue yet, with its EXIF and initial state."""

    item: Sighting
    exif: ExifRecord | None
    state: State
    reason: str | None
    image_id: int | None


def save_items(
    connection: Connection,
    run: int,
    context: SourceContext,
    items: Sequence[Sighting],
    options: RunOptions,
    cursor: dict[str, Any] | None,
) -> SavedItems:
    """Save discovered items and the checkpoint behind them.

    Items that an earlier run left pending are adopted by this run; other existing sightings stay unchanged.

    Args:
        connection: Catalogue connection.
        run: Id of the harvest run.
        context: Properties of the run's source.
        items: Items as discovered.
        options: Options of the run.
        cursor: Checkpoint of the source behind these items, if it gave one.
    """
    unique = {item.source_id: replace(item, licence=normalise_licence(item.licence)) for item in items}
    existing = _existing_sightings(connection, context.site, list(unique))
    fresh = [item for source_id, item in unique.items() if source_id not in existing]
    new = _new_sightings(connection, fresh, options, context)
    ids = _insert_sightings(connection, run, context.site, new)
    _insert_source_exif(connection, new, ids)
    earlier = [row for row in existing.values() if row.run_id != run]
    adopted = _adopt_pending(connection, run, earlier)
    _update_run(connection, run, len(earlier) - len(adopted), cursor)
    requests = [
        RequestItem(ids[row.item.source_id], str(row.item.media_url), _missing(row.exif, options.require))
        for row in new
        if row.state == State.FOUND
    ]
    requests += [RequestItem(row.id, str(unique[row.source_id].media_url), options.require) for row in adopted]
    return SavedItems(requests, [sighting.state for sighting in new])


def save_outcomes(connection: Connection, outcomes: Sequence[FetchOutcome], salt: str) -> None:
    """Save the outcomes of request items and the photographs that were stored.

    Args:
        connection: Catalogue connection.
        outcomes: At least one outcome.
        salt: Project salt for the hash of camera serial numbers.
    """
    images = _save_images(connection, {o.photo.sha256: o.photo for o in outcomes if o.photo}, salt)
    image_ids = {o.item.sighting_id: images[o.photo.sha256] for o in outcomes if o.photo}
    table = SightingRecord.__table__
    statement = update(table).where(table.c.id == bindparam("sighting"))  # type: ignore[arg-type]
    connection.execute(
        statement.values(
            state=bindparam("new_state"),
            reason=bindparam("new_reason"),
            image_id=bindparam("image"),
            attempts=table.c.attempts + 1,
            changed_at=datetime.now(UTC),
        ),
        [
            {
                "sighting": outcome.item.sighting_id,
                "new_state": outcome.state,
                "new_reason": outcome.reason,
                "image": image_ids.get(outcome.item.sighting_id),
            }
            for outcome in outcomes
        ],
    )
    insert_source_regions(connection, image_ids)


def camera_body_hash(salt: str, values: ExifValues, serial: str | None) -> str | None:
    """Return a salted hash that identifies a camera body, or None without a serial number."""
    if not serial:
        return None
    identity = "\0".join((salt, values.make or "", values.model or "", serial))
    return hashlib.sha256(identity.encode()).hexdigest()


def inspection_rows(image_id: int, inspected: InspectionResult) -> list[dict[str, Any]]:
    """Return the rows of table ``inspections`` for one image."""
    return [
        {
            "image_id": image_id,
            "filter": name,
            "version": result.version,
            "verdict": result.verdict,
            "reason": result.reason,
            "measures": result.measures,
        }
        for name, result in inspected.results.items()
    ]


def region_rows(image_id: int, inspected: InspectionResult) -> list[dict[str, Any]]:
    """Return the rows of table ``regions`` for one image."""
    orientation = inspected.exif.values.orientation or 1
    return [
        {
            "image_id": image_id,
            "kind": detection.kind,
            "origin": name,
            **detection.box._asdict(),
            "orientation": orientation,
            "score": detection.score,
            "details": detection.details,
        }
        for name, result in inspected.results.items()
        for detection in result.detections
    ]


def insert_rows(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        connection.execute(insert(table), list(rows))


def copy_rows(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows without JSON values; on PostgreSQL with COPY, which takes half the time.

    Args:
        connection: Catalogue connection.
        table: Table to insert into.
        rows: Rows with the same columns in the same order.
    """
    if not rows or connection.dialect.driver != "psycopg":
        insert_rows(connection, table, rows)
        return
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY {table.__tablename__} ({', '.join(rows[0])}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))


def _existing_sightings(connection: Connection, site: str, source_ids: list[str]) -> dict[str, Any]:
    query = select(SightingRecord.source_id, SightingRecord.id, SightingRecord.state, SightingRecord.run_id)
    query = query.where(SightingRecord.source == site, SightingRecord.source_id.in_(source_ids))
    return {row.source_id: row for row in connection.execute(query)}


def _new_sightings(
    connection: Connection, items: Sequence[Sighting], options: RunOptions, context: SourceContext
) -> list[_NewSighting]:
    images = _images_by_url(connection, [item.media_url for item in items if item.media_url])
    sightings = []
    for item in items:
        exif = read_tags(item.exif, privacy=context.privacy) if item.exif else None
        state, reason = _initial_state(item, exif, options, context)
        image_id = images.get(item.media_url or "") if state == State.FOUND else None
        if image_id is not None:
            state, reason = State.FETCHED, "same URL as an earlier sighting"
        sightings.append(_NewSighting(item, exif, state, reason, image_id))
    return sightings


def _images_by_url(connection: Connection, urls: list[str]) -> dict[str, int]:
    """Return the images that were already downloaded from these URLs, whatever the source."""
    query = select(SightingRecord.media_url, SightingRecord.image_id).where(
        SightingRecord.media_url.in_(urls), SightingRecord.state == State.FETCHED
    )
    return {str(url): int(image_id) for url, image_id in connection.execute(query) if image_id is not None}


def _initial_state(
    item: Sighting, exif: ExifRecord | None, options: RunOptions, context: SourceContext
) -> tuple[State, str | None]:
    """Return state and reason as far as they can be decided before the download."""
    if item.gone is not None:
        return State.GONE, item.gone
    return _excluded(item, exif, options) or _not_downloadable(item, context) or (State.FOUND, None)


def _excluded(item: Sighting, exif: ExifRecord | None, options: RunOptions) -> tuple[State, str] | None:
    if options.licences and item.licence not in options.licences:
        return State.REFUSED, f"licence: {item.licence or 'none given'}"
    missing = _missing(exif, options.require) if exif and item.exif_origin == "api" else ()
    if missing:
        return State.SKIPPED, f"required EXIF missing: {', '.join(missing)}"
    return (State.SKIPPED, "metadata only") if options.metadata_only else None


def _not_downloadable(item: Sighting, context: SourceContext) -> tuple[State, str] | None:
    if not item.media_url:
        return State.FAILED, "no media URL"
    if item.media_url.partition(":")[0] not in context.schemes:
        return State.REFUSED, f"address: {item.media_url[:100]}"
    return None


def _missing(exif: ExifRecord | None, required: tuple[str, ...]) -> tuple[str, ...]:
    """Return the required columns that the source did not provide."""
    return tuple(name for name in required if exif is None or getattr(exif.values, name) is None)


def _insert_sightings(connection: Connection, run: int, site: str, sightings: Sequence[_NewSighting]) -> dict[str, int]:
    """Insert sightings; return their ids by source id."""
    if not sightings:
        return {}
    rows = [_sighting_row(run, site, sighting) for sighting in sightings]
    return dict(
        connection.execute(insert(SightingRecord).returning(SightingRecord.source_id, SightingRecord.id), rows).all()
    )


def _sighting_row(run: int, site: str, sighting: _NewSighting) -> dict[str, Any]:
    item, now = sighting.item, datetime.now(UTC)
    same_name = (
        "source_id", "media_url", "page_url", "owner", "licence", "attribution", "title", "medium", "published_at",
    )  # fmt: skip
    return {
        **{name: getattr(item, name) for name in same_name},
        "run_id": run,
        "source": site,
        "file": item.file or (item.media_url or "").rpartition("/")[2] or None,
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


def _insert_source_exif(connection: Connection, sightings: Sequence[_NewSighting], ids: dict[str, int]) -> None:
    rows = [
        {"sighting_id": ids[sighting.item.source_id], **_exif_row(sighting.item.exif_origin, sighting.exif)}
        for sighting in sightings
        if sighting.exif
    ]
    insert_rows(connection, Exif, rows)


def _exif_row(origin: str, exif: ExifRecord) -> dict[str, Any]:
    return {"origin": origin, "raw": exif.raw, **asdict(exif.values)}


def _adopt_pending(connection: Connection, run: int, sightings: Sequence[Any]) -> list[Any]:
    """Assign the pending ones of some sightings to a run and return them."""
    pending = [row for row in sightings if row.state == State.FOUND]
    if pending:
        ids = [row.id for row in pending]
        connection.execute(update(SightingRecord).where(SightingRecord.id.in_(ids)).values(run_id=run))
    return pending


def _update_run(connection: Connection, run: int, existing: int, cursor: dict[str, Any] | None) -> None:
    changes: dict[str, Any] = {"existing": HarvestRun.existing + existing}
    if cursor is not None:
        changes["cursor"] = cursor
    connection.execute(update(HarvestRun).where(HarvestRun.id == run).values(changes))


def _save_images(connection: Connection, photos: dict[str, IngestedPhoto], salt: str) -> dict[str, int]:
    """Insert the images that are new, with EXIF, inspections and regions; return all image ids by SHA-256."""
    images = dict(connection.execute(select(Image.sha256, Image.id).where(Image.sha256.in_(list(photos)))).all())
    new = {sha256: photo for sha256, photo in photos.items() if sha256 not in images}
    if not new:
        return images
    rows = [_image_row(photo, salt) for photo in new.values()]
    images |= dict(connection.execute(insert(Image).returning(Image.sha256, Image.id), rows).all())
    inspected = {images[sha256]: photo.inspected for sha256, photo in new.items()}
    insert_rows(connection, Exif, [{"image_id": id_, **_exif_row("file", of.exif)} for id_, of in inspected.items()])
    insert_rows(connection, Inspection, [row for id_, of in inspected.items() for row in inspection_rows(id_, of)])
    insert_rows(connection, Region, [row for id_, of in inspected.items() for row in region_rows(id_, of)])
    return images


def _image_row(photo: IngestedPhoto, salt: str) -> dict[str, Any]:
    inspected = photo.inspected
    return {
        "sha256": photo.sha256,
        "format": inspected.format,
        "width": inspected.width,
        "height": inspected.height,
        "file_size": photo.file_size,
        "problem": inspected.problem,
        "body": camera_body_hash(salt, inspected.exif.values, inspected.exif.serial),
        "quantisation": inspected.quantisation,
        "stored_at": datetime.now(UTC),
    }
