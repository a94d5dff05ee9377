"""Write the outcomes of downloads to the catalogue, in batches."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from lightmeter.harvest.catalogue.database.rows import insert_missing, insert_rows
from lightmeter.harvest.catalogue.items import FetchOutcome
from lightmeter.harvest.catalogue.leases.workers import database_time
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Region, SightingRecord, Tombstone
from lightmeter.harvest.catalogue.models import SightingState as State
from lightmeter.harvest.catalogue.regions import insert_source_regions
from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.harvest.exif.reader import ExifRecord
from lightmeter.harvest.filters.pipeline import InspectionResult
from lightmeter.harvest.ingest_task import IngestedPhoto
from lightmeter.text.names import name_key

REMOVED = "removed from this project"
"""Reason of a sighting whose photograph was removed with ``catalogue remove``."""


@dataclass(frozen=True, slots=True)
class SavedOutcomes:
    """Result of `save_outcomes`.

    Attributes:
        discard: SHA-256 of photographs in the store that the catalogue does not keep.
        replaced: Ids of images that a sighting no longer names, because its file has changed.
    """

    discard: list[str] = field(default_factory=list)
    replaced: set[int] = field(default_factory=set)


def save_outcomes(connection: Connection, outcomes: Sequence[FetchOutcome], salt: str) -> SavedOutcomes:
    """Save the outcomes of request items and the photographs that were stored.

    Outcomes of sightings that are no longer pending, or whose lease has gone from the worker, change nothing: another
    worker downloads them. A known photograph that could not be downloaded again keeps its image.

    Args:
        connection: Catalogue connection of a transaction that writes.
        outcomes: At least one outcome.
        salt: Project salt for the hash of camera serial numbers.
    """
    pending = _lock_pending(connection, {outcome.item.sighting_id for outcome in outcomes})
    current = {o.item.sighting_id: o for o in outcomes if _is_leased(o, pending)}
    removed = _removed(connection, [o.photo.sha256 for o in outcomes if o.photo])
    kept = {id_: o for id_, o in current.items() if _is_kept(o, pending[id_], removed)}
    photos = {o.photo.sha256: o.photo for o in kept.values() if o.photo}
    images = save_images(connection, photos, salt)
    image_ids = {id_: images[o.photo.sha256] for id_, o in kept.items() if o.photo}
    rows = [_changes(o, pending[id_], image_ids.get(id_), removed) for id_, o in current.items()]
    _update_sightings(connection, rows)
    insert_source_regions(connection, image_ids)
    # what another worker downloads, too, stays in the store: that worker may be about to save it
    unused = {o.photo.sha256 for o in current.values() if o.photo} - photos.keys()
    return SavedOutcomes(
        discard=sorted(removed | (unused - _known_hashes(connection, list(unused)))),
        replaced={
            pending[id_].image_id for id_, image in image_ids.items() if pending[id_].image_id not in (None, image)
        },
    )


def save_images(connection: Connection, photos: Mapping[str, IngestedPhoto], salt: str) -> dict[str, int]:
    """Insert the images that are new, with EXIF, inspections and regions; return all image ids by SHA-256."""
    rows = [_image_row(photo, salt) for photo in photos.values()]
    new = insert_missing(connection, Image, rows, Image.sha256, Image.id)
    inspected = {id_: photos[sha256].inspected for sha256, id_ in new.items()}
    insert_rows(connection, Exif, [{"image_id": id_, **exif_row("file", of.exif)} for id_, of in inspected.items()])
    insert_rows(connection, Inspection, [row for id_, of in inspected.items() for row in inspection_rows(id_, of)])
    insert_rows(connection, Region, [row for id_, of in inspected.items() for row in region_rows(id_, of)])
    query = select(Image.sha256, Image.id).where(Image.sha256.in_(list(photos))).order_by(Image.id)
    return dict(connection.execute(query.with_for_update()).all())


def camera_body_hash(salt: str, values: ExifValues, serial: str | None) -> str | None:
    """Return a salted hash that identifies a camera body, or None without a serial number.

    Spellings of make, model and serial number that mean the same give the same hash.
    """
    if not serial:
        return None
    identity = "\0".join((salt, *map(name_key, (values.make or "", values.model or "", serial))))
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


def exif_row(origin: str, exif: ExifRecord) -> dict[str, Any]:
    """Return the row of table ``exif`` for one origin, without the photograph that it belongs to."""
    values = {field.name: getattr(exif.values, field.name) for field in fields(exif.values)}  # `asdict` copies each
    return {"origin": origin, "raw": exif.raw, **values}


def _lock_pending(connection: Connection, sightings: Collection[int]) -> dict[int, Row[Any]]:
    """Lock the sightings that are pending and whose lease, if they have one, has not expired."""
    table = SightingRecord
    columns: tuple[Any, ...] = (table.id, table.run_id, table.worker, table.image_id)
    columns += (table.file_version, table.updated_run_id)
    leased = table.worker.is_(None) | (table.lease_until > database_time(connection))
    query = select(*columns).where(table.id.in_(sightings), table.state == State.FOUND, leased)
    return {row.id: row for row in connection.execute(query.order_by(table.id).with_for_update())}


def _is_leased(outcome: FetchOutcome, pending: Mapping[int, Row[Any]]) -> bool:
    """Return whether a photograph is still leased by the worker that has downloaded it."""
    sighting = pending.get(outcome.item.sighting_id)
    return sighting is not None and sighting.worker == outcome.item.worker


def _removed(connection: Connection, hashes: Sequence[str]) -> set[str]:
    query = select(Tombstone.sha256).where(Tombstone.sha256.in_(hashes))
    return {str(sha256) for sha256 in connection.scalars(query)}


def _known_hashes(connection: Connection, hashes: Sequence[str]) -> set[str]:
    return set(connection.scalars(select(Image.sha256).where(Image.sha256.in_(hashes))))


def _is_kept(outcome: FetchOutcome, sighting: Row[Any], removed: Collection[str]) -> bool:
    """Return whether the photograph of an outcome becomes the sighting's image."""
    if outcome.photo is None or outcome.photo.sha256 in removed:
        return False
    return outcome.state == State.FETCHED or sighting.image_id is None


def _changes(
    outcome: FetchOutcome, sighting: Row[Any], image_id: int | None, removed: Collection[str]
) -> dict[str, Any]:
    """Return the new values of a sighting."""
    state, reason, version = outcome.state, outcome.reason, sighting.file_version
    if outcome.photo and outcome.photo.sha256 in removed:
        state, reason = State.REFUSED, REMOVED
    changed = image_id is not None and sighting.image_id not in (None, image_id)
    if image_id is None and sighting.image_id is not None:
        state, reason, version = State.FETCHED, f"not refreshed: {reason}", None
        image_id = sighting.image_id
    return {
        "sighting": sighting.id,
        "new_state": state,
        "new_reason": reason,
        "image": image_id,
        "version": version,
        "updated": sighting.run_id if changed else sighting.updated_run_id,
    }


def _update_sightings(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    table = SightingRecord.__table__
    statement = update(table).where(table.c.id == bindparam("sighting"))  # type: ignore[arg-type]
    connection.execute(
        statement.values(
            state=bindparam("new_state"),
            reason=bindparam("new_reason"),
            image_id=bindparam("image"),
            file_version=bindparam("version"),
            updated_run_id=bindparam("updated"),
            attempts=table.c.attempts + 1,
            worker=None,
            lease_until=None,
            changed_at=datetime.now(UTC),
        ),
        list(rows),
    )


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
