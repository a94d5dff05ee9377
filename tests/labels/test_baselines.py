"""What the card says of confounds."""

from typing import Any

import pytest

from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.targets.registry import get_target
from tests.support import run_json


def split(target: str) -> Any:
    return run_json("labels", "split", "one", "--target", target)


def fill(catalogue: Any, target: str, of_film: dict[str, Any], of_digital: dict[str, Any]) -> None:
    for index in range(60):
        medium = ("film", "digital")[index % 2]
        settings = of_film if medium == "film" else of_digital
        catalogue.photograph(owner=str(index), medium=medium, exposure_time_s=(1 / 1000, 1 / 15)[index % 2], **settings)
    apply(catalogue.engine, [get_target(target)])


def test_film_from_one_source_only_is_called_out(catalogue: Any) -> None:
    fill(catalogue, "medium", {"source": "lab"}, {"source": "camera"})
    found = split("medium")
    by_name = {one["name"]: one for one in found["baselines"]["medium"]}
    assert by_name["source"]["score"] == 1.0
    assert by_name["majority"]["score"] == pytest.approx(0.5, abs=0.05)
    warning = "Beware: medium can be told with 100 % accuracy from source alone"
    assert any(note.startswith(warning) for note in found["notes"])
    assert warning in (catalogue.project.datasets / "one" / "README.md").read_text(encoding="utf-8")


def test_without_a_confound_nothing_is_called_out(catalogue: Any) -> None:
    fill(catalogue, "medium", {}, {})
    found = split("medium")
    assert not [note for note in found["notes"] if note.startswith("Beware") and "EXIF" not in note]


def test_a_baseline_never_sees_the_targets_own_tags(catalogue: Any) -> None:
    fill(catalogue, "shutter-binary", {}, {})
    by_name = {one["name"]: one for one in split("shutter-binary")["baselines"]["shutter-binary"]}
    assert by_name["other EXIF"]["score"] < 0.65


def test_settings_that_go_along_with_the_class_are_called_out(catalogue: Any) -> None:
    fill(catalogue, "shutter-binary", {"iso": 100.0}, {"iso": 3200.0})
    found = split("shutter-binary")
    by_name = {one["name"]: one for one in found["baselines"]["shutter-binary"]}
    assert by_name["other EXIF"]["low"] > 0.9
    assert by_name["picture size and JPEG tables"]["low"] <= by_name["majority"]["score"] + 0.2
