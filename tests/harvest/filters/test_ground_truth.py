"""Filters compared with annotations of real photographs."""

import csv
from pathlib import Path

import pytest

from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect, load_filters
from tests.harvest.filters.images import SIDES

AMBIGUOUS = {"borders": {"p126", "p131", "p137"}, "monochrome": {"p005", "p079"}}


@pytest.mark.shared
def test_filters_agree_with_annotations_of_real_photographs(shared: Path) -> None:
    plan = InspectionPlan(tuple(load_filters({}, ["borders", "monochrome"])))
    with (shared / "photos" / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100
    for row in rows:
        results = inspect((shared / "photos" / row["file"]).read_bytes(), plan).results
        name = row["file"].removesuffix(".jpg")
        if name not in AMBIGUOUS["borders"]:
            widths = [0] * 4 if row["border"] == "none" else [int(width) for width in row["border"].split(",")]
            assert [results["borders"].measures[side] for side in SIDES] == pytest.approx(widths, abs=1), name
        if name not in AMBIGUOUS["monochrome"]:
            result = results["monochrome"]
            assert (result.reason if result.verdict == "drop" else "no") == row["monochrome"], name
