"""Everything known about one photograph, and where it comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, or_, select

from lightmeter.errors import UsageError
from lightmeter.exposure import nominal_settings
from lightmeter.files import sha256_of
from lightmeter.harvest.catalogue.exif_view import EXIF_COLUMNS
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label, Region, Sighting

_ORIGINS = ("file", "api", "sidecar")  # the first that has a value is believed
_SHORTEST_HASH = 4
_SAME = 1e-3  # relative difference up to which two numbers are the same setting


def show(engine: Engine, photograph: str) -> dict[str, Any]:
    """Return what the catalogue knows.

    Args:
        engine: of the catalogue.
        photograph: a SHA-256 or its beginning, the name or the id that it had at its source, or the path of a file.

    Raises:
        UsageError: if there is no such photograph, or more than one.
    """
    with engine.connect() as connection:
        image = _find(connection, photograph)
        sightings = _rows(connection, select(Sighting.__table__).where(Sighting.image_id == image["id"]))
        exif = _exif(connection, image["id"], [row["id"] for row in sightings])
        return {
            "image": image,
            "sightings": sightings,
            "exif": _resolved(exif),
            "nominal": nominal_settings(**_first(exif, ("f_number", "exposure_time_s", "iso"))),
            "raw": [{"origin": row["origin"], "tags": row["raw"]} for row in exif],
            "inspections": _rows(connection, select(Inspection.__table__).where(Inspection.image_id == image["id"])),
            "regions": _rows(connection, select(Region.__table__).where(Region.image_id == image["id"])),
            "labels": _rows(
                connection, select(Label.__table__).where(Label.image_id == image["id"]).order_by(Label.id)
            ),
        }


def _find(connection: Connection, photograph: str) -> dict[str, Any]:
    path = Path(photograph)
    sha256 = sha256_of(path) if path.is_file() else photograph.lower()
    by_hash = Image.sha256.startswith(sha256, autoescape=True) if len(sha256) >= _SHORTEST_HASH else Image.sha256 == ""
    seen = select(Sighting.image_id).where(or_(Sighting.source_id == photograph, Sighting.file == photograph))
    found = _rows(connection, select(Image.__table__).where(or_(by_hash, Image.id.in_(seen))).limit(2))
    if not found:
        raise UsageError(f"No photograph '{photograph}' is in the catalogue; give its SHA-256, file name or source id.")
    if len(found) > 1:
        raise UsageError(f"More than one photograph answers to '{photograph}'; give its SHA-256.")
    return found[0]


def _exif(connection: Connection, image: int, sightings: Sequence[int]) -> list[dict[str, Any]]:
    """Return what each origin says, the most credible first."""
    query = select(Exif.__table__).where(or_(Exif.image_id == image, Exif.sighting_id.in_(sightings))).order_by(Exif.id)
    return sorted(_rows(connection, query), key=lambda row: _ORIGINS.index(row["origin"]))


def _resolved(exif: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each column the value, its origin, and what other origins say instead."""
    resolved = {}
    for column in (*EXIF_COLUMNS, "software", "orientation"):
        told = [(row["origin"], row[column]) for row in exif if row[column] is not None]
        if told:
            origin, value = told[0]
            others = [{"origin": o, "value": v} for o, v in told[1:] if not _same(v, value)]
            resolved[column] = {"value": value, "origin": origin, "disagree": others}
    return resolved


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= _SAME * max(abs(one), abs(other))
    return one == other


def _first(exif: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    return {column: next((row[column] for row in exif if row[column] is not None), None) for column in columns}


def _rows(connection: Connection, query: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]
