"""What a harvest run writes: sightings when they are found, outcomes when they are fetched; always in batches."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, Inspection, Region, Sighting, SightingState
from lightmeter.harvest.catalogue.source_regions import insert_source_regions, metadata_with_regions
from lightmeter.harvest.crawl.items import FetchOutcome, FetchRequest, IngestedPhoto, RunOptions, SourceContext
from lightmeter.harvest.exif import ExifRecord, ExifValues, read_tags
from lightmeter.harvest.filters import InspectionResult
from lightmeter.harvest.sources import PhotoItem as Seen


@dataclass(frozen=True, slots=True)
class SavedItems:
    """What became of newly discovered sightings.

    Attributes:
        jobs: those whose bytes must be fetched.
        new: the state of each that the catalogue did not have.
        known: how many it had.
    """

    jobs: list[FetchRequest]
    new: list[SightingState]
    known: int


def save_items(
    connection: Connection,
    run: int,
    origin: SourceContext,
    seen: Sequence[Seen],
    options: RunOptions,
    cursor: dict[str, Any] | None,
) -> SavedItems:
    """Record discovered sightings and the checkpoint behind them.

    A sighting that an earlier run left waiting is taken over by this one; otherwise a known sighting stays as it is.

    Args:
        origin: where the sightings come from.
        cursor: the source's checkpoint, if it gave one after these sightings.
    """
    unique = {sighting.source_id: sighting for sighting in seen}
    known = _known(connection, origin.site, list(unique))
    fresh = [sighting for key, sighting in unique.items() if key not in known]
    told = {one.source_id: read_tags(one.exif, keep=origin.privacy) for one in fresh if one.exif}
    read = {key: reading.values for key, reading in told.items()}
    same_url = _fetched_urls(connection, [sighting.media_url for sighting in fresh if sighting.media_url])
    first = [_initial_state(one, read.get(one.source_id), options, origin, same_url) for one in fresh]
    rows = [_sighting_row(run, origin.site, one, state) for one, state in zip(fresh, first, strict=True)]
    ids = _insert_sightings(connection, rows)
    _insert_told_exif(connection, fresh, ids, told)
    earlier = [key for key, (_, _, found_by) in known.items() if found_by != run]  # this run's own are under way
    waiting = [key for key in earlier if known[key][1] == SightingState.FOUND]
    _adopt_pending(connection, run, [known[key][0] for key in waiting])
    changes: dict[str, Any] = {"known": HarvestRun.known + len(earlier) - len(waiting)}
    if cursor is not None:
        changes["cursor"] = cursor
    connection.execute(update(HarvestRun).where(HarvestRun.id == run).values(changes))
    ids |= {key: known[key][0] for key in waiting}
    jobs = [
        FetchRequest(ids[key], str(unique[key].media_url), _missing(read.get(key), options.require))
        for key in [row["source_id"] for row in rows if row["state"] == SightingState.FOUND] + waiting
    ]
    return SavedItems(jobs, [row["state"] for row in rows], len(earlier) - len(waiting))


def save_outcomes(connection: Connection, outcomes: Sequence[FetchOutcome], salt: str) -> None:
    """Record what became of jobs, and the photographs that came of them.

    Args:
        salt: mixed into the hash of camera serial numbers.
    """
    photographs = {o.photograph.sha256: o.photograph for o in outcomes if o.photograph}
    images = _insert_images(connection, photographs, salt)
    if not outcomes:
        return
    connection.execute(
        update(Sighting.__table__)  # type: ignore[arg-type]
        .where(Sighting.__table__.c.id == bindparam("b_id"))
        .values(
            state=bindparam("b_state"),
            reason=bindparam("b_reason"),
            image_id=bindparam("b_image"),
            attempts=Sighting.__table__.c.attempts + 1,
            changed_at=datetime.now(UTC),
        ),
        [
            {
                "b_id": outcome.job.sighting_id,
                "b_state": outcome.state,
                "b_reason": outcome.reason,
                "b_image": images[outcome.photograph.sha256] if outcome.photograph else None,
            }
            for outcome in outcomes
        ],
    )
    seen = {o.job.sighting_id: images[o.photograph.sha256] for o in outcomes if o.photograph}
    insert_source_regions(connection, seen)


def body_hash(salt: str, values: ExifValues, serial: str | None) -> str | None:
    """Return the salted hash that stands for a camera body, or None where EXIF names no serial number."""
    if not serial:
        return None
    identity = "\0".join((salt, values.make or "", values.model or "", serial))
    return hashlib.sha256(identity.encode()).hexdigest()


def _known(connection: Connection, site: str, keys: list[str]) -> dict[str, tuple[int, SightingState, int]]:
    """Return the sightings that are there already, by their ids: number, state, and the run that they belong to."""
    query = select(Sighting.source_id, Sighting.id, Sighting.state, Sighting.run_id).where(
        Sighting.source == site, Sighting.source_id.in_(keys)
    )
    return {key: (number, state, run) for key, number, state, run in connection.execute(query)}


def _fetched_urls(connection: Connection, urls: list[str]) -> dict[str, int]:
    """Return the images that are there already, by the URL they came from, whatever source named it."""
    query = select(Sighting.media_url, Sighting.image_id).where(
        Sighting.media_url.in_(urls), Sighting.state == SightingState.FETCHED
    )
    return {str(url): int(image) for url, image in connection.execute(query) if image is not None}


def _initial_state(
    seen: Seen, exif: ExifValues | None, options: RunOptions, origin: SourceContext, same_url: dict[str, int]
) -> tuple[SightingState, str | None, int | None]:
    """Decide what can be decided before anything is fetched: state, reason, image."""
    missing = _missing(exif, options.require) if exif is not None and seen.exif_origin == "api" else ()
    decided = (
        (seen.gone is not None, SightingState.GONE, seen.gone),
        (
            bool(options.licences) and seen.licence not in options.licences,
            SightingState.REFUSED,
            f"licence: {seen.licence or 'none given'}",
        ),
        (bool(missing), SightingState.SKIPPED, f"required EXIF missing: {', '.join(missing)}"),
        (options.metadata_only, SightingState.SKIPPED, "metadata only"),
        (not seen.media_url, SightingState.FAILED, "no media URL"),
        (
            (seen.media_url or "").partition(":")[0] not in origin.schemes,
            SightingState.REFUSED,
            f"address: {(seen.media_url or '')[:100]}",
        ),
    )
    for applies, state, reason in decided:
        if applies:
            return state, reason, None
    if seen.media_url in same_url:
        return SightingState.FETCHED, "same URL as an earlier sighting", same_url[seen.media_url]
    return SightingState.FOUND, None, None


def _sighting_row(
    run: int, site: str, seen: Seen, first: tuple[SightingState, str | None, int | None]
) -> dict[str, Any]:
    state, reason, image = first
    now = datetime.now(UTC)
    return {
        "run_id": run,
        "source": site,
        "source_id": seen.source_id,
        "media_url": seen.media_url,
        "page_url": seen.page_url,
        "file": seen.file or (seen.media_url or "").rpartition("/")[2] or None,
        "owner": seen.owner,
        "licence": seen.licence,
        "attribution": seen.attribution,
        "title": seen.title,
        "tags": list(seen.tags) or None,
        "medium": seen.medium,
        "concepts": list(seen.concepts) or None,
        "published_at": seen.published_at,
        "source_metadata": metadata_with_regions(seen),
        "state": state,
        "reason": reason,
        "attempts": 0,
        "image_id": image,
        "found_at": now,
        "changed_at": now,
    }


def _insert_sightings(connection: Connection, rows: list[dict[str, Any]]) -> dict[str, int]:
    if not rows:
        return {}
    inserted = connection.execute(insert(Sighting).returning(Sighting.source_id, Sighting.id), rows)
    return {str(key): int(number) for key, number in inserted}


def _insert_told_exif(
    connection: Connection, fresh: Sequence[Seen], ids: dict[str, int], told: dict[str, ExifRecord]
) -> None:
    rows = [
        {
            "sighting_id": ids[seen.source_id],
            "origin": seen.exif_origin,
            "raw": told[seen.source_id].raw,
            **asdict(told[seen.source_id].values),
        }
        for seen in fresh
        if seen.source_id in told
    ]
    if rows:
        connection.execute(insert(Exif), rows)


def _adopt_pending(connection: Connection, run: int, sightings: list[int]) -> None:
    if sightings:
        connection.execute(update(Sighting).where(Sighting.id.in_(sightings)).values(run_id=run))


def _missing(exif: ExifValues | None, required: tuple[str, ...]) -> tuple[str, ...]:
    """Return the required columns that the source itself did not tell."""
    return tuple(name for name in required if exif is None or getattr(exif, name) is None)


def _insert_images(connection: Connection, photographs: dict[str, IngestedPhoto], salt: str) -> dict[str, int]:
    """Insert the images that are new, with all that was read from them; return every image's number by its hash."""
    if not photographs:
        return {}
    query = select(Image.sha256, Image.id).where(Image.sha256.in_(list(photographs)))
    images = {str(sha256): int(number) for sha256, number in connection.execute(query)}
    fresh = [photograph for sha256, photograph in photographs.items() if sha256 not in images]
    if not fresh:
        return images
    rows = [_image_row(photograph, salt) for photograph in fresh]
    inserted = connection.execute(insert(Image).returning(Image.sha256, Image.id), rows)
    images |= {str(sha256): int(number) for sha256, number in inserted}
    connection.execute(insert(Exif), [_exif_row(images[p.sha256], p.inspected) for p in fresh])
    findings = [row for p in fresh for row in inspection_rows(images[p.sha256], p.inspected)]
    regions = [row for p in fresh for row in region_rows(images[p.sha256], p.inspected)]
    if findings:
        connection.execute(insert(Inspection), findings)
    if regions:
        connection.execute(insert(Region), regions)
    return images


def _image_row(photograph: IngestedPhoto, salt: str) -> dict[str, Any]:
    inspected = photograph.inspected
    return {
        "sha256": photograph.sha256,
        "format": inspected.format,
        "width": inspected.width,
        "height": inspected.height,
        "file_size": photograph.file_size,
        "problem": inspected.problem,
        "body": body_hash(salt, inspected.exif.values, inspected.exif.serial),
        "quantisation": inspected.quantisation,
        "stored_at": datetime.now(UTC),
    }


def _exif_row(image: int, inspected: InspectionResult) -> dict[str, Any]:
    return {"image_id": image, "origin": "file", "raw": inspected.exif.raw, **asdict(inspected.exif.values)}


def inspection_rows(image: int, inspected: InspectionResult) -> list[dict[str, Any]]:
    """Return the rows of table ``inspections`` for one image."""
    return [
        {
            "image_id": image,
            "filter": name,
            "version": finding.version,
            "verdict": finding.verdict,
            "reason": finding.reason,
            "measures": finding.measures,
        }
        for name, finding in inspected.results.items()
    ]


def region_rows(image: int, inspected: InspectionResult) -> list[dict[str, Any]]:
    """Return the rows of table ``regions`` for one image."""
    return [
        {
            "image_id": image,
            "kind": region.kind,
            "origin": name,
            "x": region.x,
            "y": region.y,
            "width": region.width,
            "height": region.height,
            "orientation": inspected.exif.values.orientation or 1,
            "score": region.score,
            "details": region.details,
        }
        for name, finding in inspected.results.items()
        for region in finding.regions
    ]
