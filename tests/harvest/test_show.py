"""``catalogue show`` and what is exported: everything known, where it comes from, who says otherwise."""

import csv
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import insert

from lightmeter.exposure import NOMINAL_EXPOSURE_TIMES_S, NOMINAL_F_NUMBERS, NOMINAL_ISOS, nominal_settings
from lightmeter.harvest.catalogue.models import Exif
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.project import Project
from tests.support import run_json


def test_all_that_is_known_is_shown(harvested: Project, harvested_once: Path) -> None:
    by_path = run_json("catalogue", "show", harvested_once / "photographs" / "berenice" / "0.jpg")
    assert by_path == run_json("catalogue", "show", by_path["image"]["sha256"][:12])
    assert by_path["exif"]["f_number"] == {"value": 2.8, "origin": "file", "disagree": []}
    assert by_path["nominal"] == {"f_number": 2.8, "exposure_time_s": 1 / 125, "iso": 200.0}
    assert {row["filter"] for row in by_path["inspections"]} >= {"borders", "quality"}
    assert [row["source"] for row in by_path["sightings"]] == ["folder"]


def test_disagreement_is_told(harvested: Project, harvested_once: Path) -> None:
    sighting = run_json("catalogue", "show", harvested_once / "photographs" / "berenice" / "0.jpg")["sightings"][0][
        "id"
    ]
    with open_engine(harvested).begin() as connection:
        told = {"sighting_id": sighting, "origin": "api", "f_number": 8.0, "iso": 200.0, "lens": "A lens", "raw": {}}
        connection.execute(insert(Exif).values(told))
    exif = run_json("catalogue", "show", harvested_once / "photographs" / "berenice" / "0.jpg")["exif"]
    assert exif["f_number"]["disagree"] == [{"origin": "api", "value": 8.0}]
    assert exif["iso"]["disagree"] == []
    assert exif["lens"] == {"value": "A lens", "origin": "api", "disagree": []}


def test_a_photograph_that_is_not_there_is_one_sentence(project: Path) -> None:
    assert "No photograph 'x'" in run_json("catalogue", "show", "x", code=2)["error"]


def test_the_export_has_exact_and_nominal_settings(harvested: Project) -> None:
    run_json("catalogue", "export", "all.csv")
    with Path("all.csv").open() as file:
        row = next(csv.DictReader(file))
    assert (row["f_number"], row["nominal_f_number"], row["nominal_iso"]) == ("2.8", "2.8", "200.0")


@pytest.mark.parametrize(
    ("exact", "named"),
    [
        ({"f_number": 2.83}, 2.8), ({"f_number": 3.4}, 3.5), ({"f_number": 200.0}, None), ({"f_number": 0.95}, 1.0),
        ({"exposure_time_s": 1 / 128}, 1 / 125), ({"exposure_time_s": 0.33}, 0.3), ({"exposure_time_s": 600.0}, None),
        ({"iso": 1250}, 1250), ({"iso": 70}, 64), ({"iso": 102_400}, 102_400),
    ],
)  # fmt: skip
def test_settings_are_named_as_cameras_do(exact: dict[str, float], named: float | None) -> None:
    (column,) = exact
    assert nominal_settings(**exact)[column] == named


@pytest.mark.parametrize("series", [NOMINAL_F_NUMBERS, NOMINAL_EXPOSURE_TIMES_S, NOMINAL_ISOS])
def test_nominal_values_are_third_stops(series: tuple[float, ...]) -> None:
    assert sorted(set(series)) == list(series)
    steps = [later / earlier for earlier, later in pairwise(series)]
    third = 2 ** (1 / 6) if series is NOMINAL_F_NUMBERS else 2 ** (1 / 3)
    assert all(third**0.5 < step < third**1.5 for step in steps)
