"""Applying rules: what is written, and that nothing is written twice."""

import json
from collections.abc import Sequence
from typing import Any
from unittest.mock import ANY

import pytest
from PIL import Image as Picture
from sqlalchemy import Engine, insert, select, update

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label
from lightmeter.labels.annotations.model import Annotation, resolve_conflicts
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.annotations.statistics import statistics
from lightmeter.labels.targets.registry import get_target


def labels_of(catalogue: Any) -> list[tuple[Any, ...]]:
    query = select(Label.image_id, Label.target, Label.value, Label.number).order_by(Label.id)
    return [tuple(row) for row in catalogue.rows(query)]


def test_each_photograph_gets_its_class_and_its_value_in_stops(catalogue: Any) -> None:
    one = catalogue.photograph(exposure_time_s=1 / 64, iso=100.0)
    catalogue.photograph(iso=800.0, problem="truncated")
    outcome = apply(catalogue.engine, [get_target("shutter"), get_target("iso")])
    assert labels_of(catalogue) == [(one, "shutter", "1/60", -6.0), (one, "iso", "100", 0.0)]
    assert (outcome["shutter"].photographs, outcome["shutter"].added) == (1, 1)


def test_the_file_beats_the_api_and_the_api_the_sidecar(any_catalogue: Any) -> None:
    any_catalogue.photograph(iso=100.0, api={"iso": 800.0, "exposure_time_s": 1.0}, sidecar={"exposure_time_s": 2.0})
    any_catalogue.photograph(sidecar={"iso": 1600.0})
    apply(any_catalogue.engine, [get_target("shutter"), get_target("iso")])
    assert [row[1:3] for row in labels_of(any_catalogue)] == [("shutter", "1"), ("iso", "100"), ("iso", "1600")]


def test_applying_again_adds_only_what_changed(any_catalogue: Any) -> None:
    for iso in (100.0, 200.0, 400.0):
        any_catalogue.photograph(iso=iso)
    apply(any_catalogue.engine, [get_target("iso")])
    assert apply(any_catalogue.engine, [get_target("iso")])["iso"].added == 0
    with any_catalogue.engine.begin() as connection:
        connection.execute(update(Exif).where(Exif.iso == 200.0).values(iso=3200.0))
        connection.execute(update(Exif).where(Exif.iso == 400.0).values(iso=None))
    outcome = apply(any_catalogue.engine, [get_target("iso")])["iso"]
    assert (outcome.added, outcome.taken_back) == (1, 1)
    assert [row[2] for row in labels_of(any_catalogue)] == ["100", "200", "400", "3200", None]
    assert statistics(any_catalogue.engine, get_target("iso")).classes["400"] == 0


def test_a_photograph_that_gets_damaged_news_keeps_its_history(catalogue: Any) -> None:
    image = catalogue.photograph(iso=100.0)
    apply(catalogue.engine, [get_target("iso")])
    with catalogue.engine.begin() as connection:
        connection.execute(update(Image).where(Image.id == image).values(problem="truncated"))
    assert apply(catalogue.engine, [get_target("iso")])["iso"].photographs == 0
    assert len(labels_of(catalogue)) == 1


def said(*words: tuple[str, str, str | None]) -> Sequence[Annotation]:
    return [Annotation(1, "medium", value, None, origin, author, None) for origin, author, value in words]


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ([("hand", "ann", "film"), ("rule", "r", "digital"), ("import", "csv", "digital")], "film"),
        ([("model", "m", "film"), ("rule", "r", "digital")], "digital"),
        ([("hand", "ann", "film"), ("hand", "bob", "digital")], "digital"),
        ([("hand", "ann", "film"), ("hand", "bob", "digital"), ("hand", "ann", "film")], "film"),
        ([("hand", "ann", "film"), ("rule", "r", "digital"), ("hand", "ann", None)], "digital"),
        ([("rule", "r", "film"), ("rule", "r", None)], None),
    ],
)
def test_hand_beats_import_beats_rule_beats_model_and_the_newest_word_holds(
    words: list[tuple[str, str, str | None]], counts: str | None
) -> None:
    label = resolve_conflicts(said(*words)).get((1, "medium"))
    assert (label.value if label else None) == counts


def test_stats_say_what_is_left_out_and_why(any_catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in (1 / 500, 1 / 125, 1 / 30, 1 / 15, None):
        any_catalogue.photograph(exposure_time_s=seconds)
    assert main(["labels", "apply", "shutter-binary", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shutter-binary"]["labelled"] == {"fast": 1, "slow": 2}
    assert main(["labels", "stats", "shutter-binary", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == {"fast": 1, "slow": 2}
    assert found["left_out"] == {"between fast and slow": 1, "no exposure time": 1}
    assert found["values"][0] == {"from": pytest.approx(-9 - 1 / 6), "to": ANY, "in_a_class": 1, "left_out": 0}
    assert sum(row["in_a_class"] for row in found["values"]) == 3
    assert sum(row["left_out"] for row in found["values"]) == 1
    assert main(["labels", "stats", "shutter-binary"]) == 0
    assert "█" in capsys.readouterr().out


def test_stats_are_drawn_and_say_what_each_filter_would_drop(
    catalogue: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = {"filter": "monochrome", "version": 1, "measures": {}}
    for index in range(9):
        image = catalogue.photograph(exposure_time_s=2.0**-index)
        verdict = "drop" if index % 3 == 0 else "keep"
        with catalogue.engine.begin() as connection:
            connection.execute(insert(Inspection).values(image_id=image, verdict=verdict, **seen))
    assert main(["labels", "apply", "shutter", "medium"]) == 0
    capsys.readouterr()
    assert main(["labels", "stats", "shutter", "--plot", "shutter.png"]) == 0
    assert "the filter monochrome would drop 3 of the labelled" in capsys.readouterr().out
    with Picture.open("shutter.png") as picture:
        assert picture.format == "PNG"
    assert main(["labels", "stats", "medium", "--plot", "medium.png"]) == 0
    assert main(["labels", "stats", "shutter", "--plot", "shutter.jpg"]) == 2
    assert "must end in .png" in capsys.readouterr().err


def test_a_hand_label_counts_in_the_stats(any_catalogue: Any) -> None:
    image = any_catalogue.photograph(medium="digital")
    apply(any_catalogue.engine, [get_target("medium")])
    engine: Engine = any_catalogue.engine
    with engine.begin() as connection:
        connection.execute(
            insert(Label).values(image_id=image, target="medium", value="film", origin="hand", author="ann")
        )
    found = statistics(engine, get_target("medium"))
    assert (found.classes["film"], found.classes["digital"], found.origins) == (1, 0, {"hand": 1})


def test_targets_are_listed_with_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", "targets", "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"aperture", "iso", "shutter", "focal-length", "medium"} <= found.keys()
    assert found["medium"]["classes"] == ["digital", "film"]


def test_an_unknown_target_is_one_sentence(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", "apply", "shuter"]) == 2
    assert "did you mean shutter" in capsys.readouterr().err
