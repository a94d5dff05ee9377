"""Shortcut baselines and their warnings."""

from typing import Any

import pytest

from tests.labels.datasets.helpers import FAST, SLOW, apply_rules
from tests.support import run_json


def add_photographs(catalogue: Any, target: str, film: dict[str, Any], digital: dict[str, Any]) -> None:
    """Add 60 photographs, fast ones on film and slow digital ones, with further values each."""
    for index in range(60):
        medium, seconds, values = ("film", FAST, film) if index % 2 == 0 else ("digital", SLOW, digital)
        catalogue.photograph(owner=str(index), medium=medium, exposure_time_s=seconds, **values)
    apply_rules(catalogue, target)


def split(target: str) -> tuple[dict[str, Any], list[str]]:
    """Create a data set and return its baselines by name and its advisories."""
    document = run_json("labels", "split", "one", "--target", target)
    return {item["name"]: item for item in document["shortcut_baselines"][target]}, document["advisories"]


def test_class_from_a_single_source_leads_to_a_warning(catalogue: Any) -> None:
    add_photographs(catalogue, "medium", {"source": "lab"}, {"source": "camera"})
    baselines, advisories = split("medium")
    assert baselines["source"]["value"] == 1.0
    assert baselines["majority"]["value"] == pytest.approx(0.5, abs=0.05)
    warning = "Warning: source alone predicts medium with 100 % accuracy"
    assert any(text.startswith(warning) for text in advisories)
    assert warning in (catalogue.project.datasets / "one" / "README.md").read_text(encoding="utf-8")


def test_no_warning_without_a_shortcut(catalogue: Any) -> None:
    add_photographs(catalogue, "medium", {}, {})
    _, advisories = split("medium")
    assert not [text for text in advisories if "alone predicts" in text and "EXIF" not in text]


def test_baselines_ignore_the_exif_columns_of_the_target(catalogue: Any) -> None:
    add_photographs(catalogue, "shutter-binary", {}, {})
    baselines, _ = split("shutter-binary")
    assert baselines["other EXIF"]["value"] < 0.65


def test_correlated_setting_is_a_shortcut(catalogue: Any) -> None:
    add_photographs(catalogue, "shutter-binary", {"iso": 100.0}, {"iso": 3200.0})
    baselines, _ = split("shutter-binary")
    assert baselines["other EXIF"]["low"] > 0.9
    assert baselines["image size and JPEG tables"]["low"] <= baselines["majority"]["value"] + 0.2
