"""Find one photograph in the catalogue and describe it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, or_, select

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.exposure import nominal_settings
from lightmeter.files import sha256_of
from lightmeter.harvest.catalogue.database.session import open_engine, read
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label, Region, SightingRecord
from lightmeter.harvest.catalogue.query.parser import parse_where
from lightmeter.harvest.exif.columns import EXIF_COLUMNS, EXIF_PRECEDENCE
from lightmeter.project import Project

_HASH_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_SHOWN_MATCHES = 5
_RANGE = 1_000  # ids
_SAME_SETTING = 1e-3  # relative difference up to which two numbers are the same setting


def check_matches(project: Project, where: str) -> None:
    """Check that a query selects photographs, so that no command succeeds without having done anything.

    Args:
        project: Project of the catalogue.
        where: Query; an empty one selects all photographs and is not checked.

    Raises:
        UsageError: The query is invalid.
        LightmeterError: No photograph matches.
    """
    if not where.strip():
        return
    condition = parse_where(where)
    engine = open_engine(project)
    try:
        if not read(engine, lambda connection: _matches(connection, condition)):
            raise LightmeterError(f"No photograph matches the query '{where}'.")
    finally:
        engine.dispose()


def _matches(connection: Connection, condition: ColumnElement[bool]) -> bool:
    """Return whether an image matches; they are searched in ranges of ids, for which indexes serve any condition."""
    last = connection.scalar(select(func.max(Image.id))) or 0
    ranges = (
        select(Image.id).where(condition, Image.id > start, Image.id <= start + _RANGE).limit(1)
        for start in range(0, last, _RANGE)
    )
    return any(connection.scalar(query) is not None for query in ranges)


def find_image(connection: Connection, name: str) -> int:
    """Return the id of a photograph.

    Args:
        connection: Catalogue connection.
        name: Path of a file with the same content, SHA-256 or its first digits (at least 4), or file name or id at
            the source.

    Raises:
        UsageError: No photograph matches, or several do.
    """
    images = _matching_images(connection, name)
    if not images:
        raise UsageError(f"No photograph '{name}' in the catalogue; give a file, its SHA-256, file name or source id.")
    if len(images) > 1:
        hashes = ", ".join(sha256[:12] for sha256 in list(images.values())[:_SHOWN_MATCHES])
        raise UsageError(f"'{name}' matches several photographs ({hashes}, …); give more digits of the SHA-256.")
    return next(iter(images))


def describe_photograph(engine: Engine, name: str) -> dict[str, Any]:
    """Return everything that the catalogue stores about one photograph, with origins.

    Args:
        engine: Catalogue engine.
        name: As for `find_image`.

    Raises:
        UsageError: No photograph matches, or several do.
    """
    with engine.connect() as connection:
        image_id = find_image(connection, name)
        sightings = _rows(connection, SightingRecord, SightingRecord.image_id == image_id)
        exif = _exif_rows(connection, image_id, [row["id"] for row in sightings])
        values = _effective_values(exif)
        settings = {
            column: values[column]["value"] for column in ("f_number", "exposure_time_s", "iso") if column in values
        }
        return {
            "image": _rows(connection, Image, Image.id == image_id)[0],
            "sightings": sightings,
            "exif": values,
            "nominal": nominal_settings(**settings),
            "raw": [{"origin": row["origin"], "tags": row["raw"]} for row in exif],
            "inspections": _rows(connection, Inspection, Inspection.image_id == image_id),
            "regions": _rows(connection, Region, Region.image_id == image_id),
            "labels": _rows(connection, Label, Label.image_id == image_id),
        }


def _matching_images(connection: Connection, name: str) -> dict[int, str]:
    """Return the SHA-256 of the first matches by image id: by content or hash first, then by name."""
    sha256 = sha256_of(Path(name)) if Path(name).is_file() else name.strip().lower()
    images: dict[int, str] = {}
    if _HASH_PREFIX.fullmatch(sha256):
        images = _images(connection, (Image.sha256 >= sha256) & (Image.sha256 < sha256 + "g"))
    return (
        images
        or _images(connection, _has_sighting((SightingRecord.file == name) | (SightingRecord.source_id == name)))
        or _images(connection, _has_sighting(SightingRecord.file.endswith(f"/{name}", autoescape=True)))
    )


def _has_sighting(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return Image.id.in_(select(SightingRecord.image_id).where(condition))


def _images(connection: Connection, condition: ColumnElement[bool]) -> dict[int, str]:
    query = select(Image.id, Image.sha256).where(condition).order_by(Image.sha256).limit(_SHOWN_MATCHES)
    return dict(connection.execute(query).all())


def _exif_rows(connection: Connection, image_id: int, sightings: Sequence[int]) -> list[dict[str, Any]]:
    """Return the EXIF of each origin in order of precedence."""
    rows = _rows(connection, Exif, or_(Exif.image_id == image_id, Exif.sighting_id.in_(sightings)))
    return sorted(rows, key=lambda row: EXIF_PRECEDENCE.index(row["origin"]))


def _effective_values(exif: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each column the effective value, its origin, and the values that disagree."""
    columns = {}
    for column in EXIF_COLUMNS:
        values = [(row["origin"], row[column]) for row in exif if row[column] is not None]
        if values:
            origin, value = values[0]
            disagree = [{"origin": o, "value": v} for o, v in values[1:] if not _same_setting(v, value)]
            columns[column] = {"value": value, "origin": origin, "disagree": disagree}
    return columns


def _same_setting(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= _SAME_SETTING * max(abs(a), abs(b))
    return a == b


def _rows(connection: Connection, table: Any, condition: ColumnElement[bool]) -> list[dict[str, Any]]:
    query = select(table.__table__).where(condition).order_by(table.id)
    return [dict(row) for row in connection.execute(query).mappings()]
