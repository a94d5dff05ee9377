"""Rules applied to photographs, the effective label, and statistics."""

from collections.abc import Sequence
from typing import Any
from unittest.mock import ANY

import pytest
from PIL import Image as PillowImage
from sqlalchemy import insert, select, update

from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label
from lightmeter.labels.annotations.model import Annotation, resolve_conflicts
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.annotations.statistics import statistics
from lightmeter.labels.targets.registry import get_target
from tests.support import run_error, run_json, run_text


def labels_of(catalogue: Any) -> list[tuple[Any, ...]]:
    query = select(Label.image_id, Label.target, Label.value, Label.number).order_by(Label.id)
    return [tuple(row) for row in catalogue.rows(query)]


def test_rules_write_class_and_number(catalogue: Any) -> None:
    image = catalogue.photograph(exposure_time_s=1 / 64, iso=100.0)
    catalogue.photograph(iso=800.0, problem="truncated")
    results = apply(catalogue.engine, [get_target("shutter"), get_target("iso")])
    assert labels_of(catalogue) == [(image, "shutter", "1/60", -6.0), (image, "iso", "100", 0.0)]
    assert (results["shutter"].photographs, results["shutter"].added) == (1, 1)


def test_exif_precedence_is_file_api_sidecar(any_catalogue: Any) -> None:
    any_catalogue.photograph(iso=100.0, api={"iso": 800.0, "exposure_time_s": 1.0}, sidecar={"exposure_time_s": 2.0})
    any_catalogue.photograph(sidecar={"iso": 1600.0})
    apply(any_catalogue.engine, [get_target("shutter"), get_target("iso")])
    assert [row[1:3] for row in labels_of(any_catalogue)] == [("shutter", "1"), ("iso", "100"), ("iso", "1600")]


def test_applying_again_writes_only_changes(any_catalogue: Any) -> None:
    for iso in (100.0, 200.0, 400.0):
        any_catalogue.photograph(iso=iso)
    apply(any_catalogue.engine, [get_target("iso")])
    assert apply(any_catalogue.engine, [get_target("iso")])["iso"].added == 0
    with any_catalogue.engine.begin() as connection:
        connection.execute(update(Exif).where(Exif.iso == 200.0).values(iso=3200.0))
        connection.execute(update(Exif).where(Exif.iso == 400.0).values(iso=None))
    result = apply(any_catalogue.engine, [get_target("iso")])["iso"]
    assert (result.added, result.removed) == (1, 1)
    assert [row[2] for row in labels_of(any_catalogue)] == ["100", "200", "400", "3200", None]
    assert statistics(any_catalogue.engine, get_target("iso")).classes["400"] == 0


def test_undecodable_photograph_keeps_its_history(catalogue: Any) -> None:
    image = catalogue.photograph(iso=100.0)
    apply(catalogue.engine, [get_target("iso")])
    with catalogue.engine.begin() as connection:
        connection.execute(update(Image).where(Image.id == image).values(problem="truncated"))
    assert apply(catalogue.engine, [get_target("iso")])["iso"].photographs == 0
    assert len(labels_of(catalogue)) == 1


def annotations(*rows: tuple[str, str, str | None]) -> Sequence[Annotation]:
    return [Annotation(1, "medium", value, None, origin, author, None) for origin, author, value in rows]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("manual", "ann", "film"), ("rule", "r", "digital"), ("import", "csv", "digital")], "film"),
        ([("model", "m", "film"), ("rule", "r", "digital")], "digital"),
        ([("manual", "ann", "film"), ("manual", "bob", "digital")], "digital"),
        ([("manual", "ann", "film"), ("manual", "bob", "digital"), ("manual", "ann", "film")], "film"),
        ([("manual", "ann", "film"), ("rule", "r", "digital"), ("manual", "ann", None)], "digital"),
        ([("rule", "r", "film"), ("rule", "r", None)], None),
    ],
)
def test_effective_label_has_highest_precedence_and_is_newest(
    rows: list[tuple[str, str, str | None]], expected: str | None
) -> None:
    label = resolve_conflicts(annotations(*rows)).get((1, "medium"))
    assert (label.value if label else None) == expected


def test_stats_count_exclusions_by_reason(any_catalogue: Any) -> None:
    for seconds in (1 / 500, 1 / 125, 1 / 30, 1 / 15, None):
        any_catalogue.photograph(exposure_time_s=seconds)
    assert run_json("labels", "apply", "shutter-binary")["shutter-binary"]["labelled"] == {"fast": 1, "slow": 2}
    stats = run_json("labels", "stats", "shutter-binary")
    assert stats["classes"] == {"fast": 1, "slow": 2}
    assert stats["excluded"] == {"between fast and slow": 1, "no exposure time": 1}
    assert stats["values"][0] == {"from": pytest.approx(-9 - 1 / 6), "to": ANY, "in_class": 1, "excluded": 0}
    assert sum(row["in_class"] for row in stats["values"]) == 3
    assert sum(row["excluded"] for row in stats["values"]) == 1
    table = run_text("labels", "stats", "shutter-binary")
    assert "█" in table
    assert "1/500 s" in table  # as photographers write it


@pytest.mark.plots
def test_stats_are_plotted_with_photographs_that_filters_would_drop(catalogue: Any) -> None:
    inspection = {"filter": "monochrome", "version": 1, "measures": {}}
    for index in range(9):
        image = catalogue.photograph(exposure_time_s=2.0**-index)
        verdict = "drop" if index % 3 == 0 else "keep"
        with catalogue.engine.begin() as connection:
            connection.execute(insert(Inspection).values(image_id=image, verdict=verdict, **inspection))
    run_json("labels", "apply", "shutter", "medium")
    text = run_text("labels", "stats", "shutter", "--plot", "shutter.png")
    assert "filter monochrome would drop 3 labelled photographs" in text
    with PillowImage.open("shutter.png") as image:
        assert min(image.size) > 100
    run_text("labels", "stats", "medium", "--plot", "medium.png")
    assert "ends in .png" in run_error("labels", "stats", "shutter", "--plot", "shutter.jpg")


def test_stats_count_manual_labels(any_catalogue: Any) -> None:
    image = any_catalogue.photograph(medium="digital")
    apply(any_catalogue.engine, [get_target("medium")])
    with any_catalogue.engine.begin() as connection:
        connection.execute(
            insert(Label).values(image_id=image, target="medium", value="film", origin="manual", author="ann")
        )
    result = statistics(any_catalogue.engine, get_target("medium"))
    assert (result.classes["film"], result.classes["digital"], result.origins) == (1, 0, {"manual": 1})


def test_targets_are_listed_with_classes() -> None:
    targets = {row["name"]: row for row in run_json("labels", "targets")}
    assert {"aperture", "iso", "shutter", "focal-length", "medium"} <= targets.keys()
    assert targets["medium"]["classes"] == ["digital", "film"]


def test_unknown_target_raises_error(catalogue: Any) -> None:
    assert "did you mean shutter" in run_error("labels", "apply", "shuter")
