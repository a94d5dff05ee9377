"""``catalogue show`` and ``catalogue export``."""

import csv
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.lookup import find_image
from lightmeter.harvest.catalogue.models import Exif, Image, SightingRecord
from lightmeter.project import Project
from tests.support import run_json


@pytest.fixture
def photo(harvested: Project, harvested_once: Path) -> Path:
    """The file from which a photograph of the catalogue was harvested."""
    return harvested_once / "photographs" / "berenice" / "0.jpg"


def test_show_lists_all_metadata(photo: Path) -> None:
    document = run_json("catalogue", "show", photo)
    assert document["exif"]["f_number"] == {"value": 2.8, "origin": "file", "disagree": []}
    assert document["nominal"] == {"f_number": 2.8, "exposure_time_s": 1 / 125, "iso": 200.0}
    assert {row["filter"] for row in document["inspections"]} >= {"borders", "quality"}
    assert [row["source"] for row in document["sightings"]] == ["folder"]


def test_show_reports_origins_that_disagree(harvested: Project, photo: Path) -> None:
    sighting: dict[str, Any] = run_json("catalogue", "show", photo)["sightings"][0]
    values = {"origin": "api", "f_number": 8.0, "iso": 200.0, "lens": "A lens", "raw": {}}
    with open_engine(harvested).begin() as connection:
        connection.execute(insert(Exif).values(sighting_id=sighting["id"], **values))
    exif = run_json("catalogue", "show", photo)["exif"]
    assert exif["f_number"]["disagree"] == [{"origin": "api", "value": 8.0}]
    assert exif["iso"]["disagree"] == []
    assert exif["lens"] == {"value": "A lens", "origin": "api", "disagree": []}


def test_find_image_accepts_file_hash_name_and_id(harvested: Project, photo: Path) -> None:
    with open_engine(harvested).begin() as connection:
        image_id = find_image(connection, str(photo))
        sha256 = connection.scalar(select(Image.sha256).where(Image.id == image_id))
        values = {"source_id": "id-0", "file": "berenice/0.jpg"}
        connection.execute(update(SightingRecord).where(SightingRecord.image_id == image_id).values(values))
        for name in (sha256, sha256[:12], sha256[:12].upper(), "berenice/0.jpg", "0.jpg", "id-0"):
            assert find_image(connection, name) == image_id


def test_find_image_refuses_unknown_and_ambiguous_names(harvested: Project) -> None:
    with open_engine(harvested).begin() as connection:
        connection.execute(update(SightingRecord).values(file="same.jpg"))
        with pytest.raises(UsageError, match="matches several photographs"):
            find_image(connection, "same.jpg")
        for name in ("x", "abc", "%"):
            with pytest.raises(UsageError, match=f"No photograph '{name}'"):
                find_image(connection, name)


def test_export_has_exact_and_nominal_settings(harvested: Project) -> None:
    run_json("catalogue", "export", "all.csv")
    with Path("all.csv").open() as file:
        row = next(csv.DictReader(file))
    assert (row["f_number"], row["nominal_f_number"], row["nominal_iso"]) == ("2.8", "2.8", "200.0")
