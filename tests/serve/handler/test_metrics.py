"""Prometheus metrics of predictions."""

import json
from pathlib import Path
from typing import Any

import pytest

from lightmeter.models.runtime.spec import Target
from lightmeter.serve.handler.metrics import ClassDistribution, expected_class_shares
from tests.serve.support import OCTET_STREAM, RunningServer, make_photo

MEDIUM = Target("medium", ("digital", "film"))


@pytest.mark.server
def test_metrics_count_requests_classes_and_durations(server: RunningServer) -> None:
    def value(prefix: str) -> float:
        lines = server.metrics().splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(prefix)), 0.0)

    model = 'model_name="tiny",model_version="1.0"'
    expected = {
        f'lightmeter_requests_total{{{model},status="200"': 3,
        f'lightmeter_requests_total{{{model},status="415"': 1,
        f"lightmeter_decoding_seconds_count{{{model}": 3,
        f"lightmeter_inference_seconds_count{{{model}": 3,
    }
    before = {prefix: value(prefix) for prefix in expected}
    photo = make_photo(5)
    for body in (photo, b"no image", photo, photo):
        document = server.post("/predictions/tiny", content=body, headers=OCTET_STREAM).json()

    assert {prefix: value(prefix) - before[prefix] for prefix in expected} == expected
    label = document["predictions"]["medium"]["class"]
    assert value(f'lightmeter_predictions_total{{{model},target="medium",class="{label}"') >= 3
    assert value(f'lightmeter_class_drift{{{model},target="medium"') > 0


def test_drift_is_small_while_predictions_have_the_expected_shares() -> None:
    distribution = ClassDistribution({"a": 0.5, "b": 0.5})

    balanced = [distribution.update("ab"[index % 2]) for index in range(1000)][-1]
    single_class = [distribution.update("a") for _ in range(3000)][-1]

    assert balanced < 0.01
    assert single_class == pytest.approx(0.5, abs=0.01)


def test_expected_shares_are_those_of_validation_predictions(tmp_path: Path) -> None:
    medium = {"classes": ["digital", "film"], "confusion_matrix": [[5, 1], [1, 1]]}
    (tmp_path / "metrics.json").write_text(json.dumps({"validation": {"targets": {"medium": medium}}}))

    assert expected_class_shares(tmp_path, [MEDIUM]) == {"medium": {"digital": 0.75, "film": 0.25}}


@pytest.mark.parametrize(
    "targets",
    [
        {},
        [],
        {"medium": {}},
        {"medium": {"classes": ["digital", "slide"], "confusion_matrix": [[1, 1], [1, 1]]}},
        {"medium": {"classes": ["digital", "film"], "confusion_matrix": [[1]]}},
        {"medium": {"classes": ["digital", "film"], "confusion_matrix": [[0, 0], [0, 0]]}},
        {"medium": {"classes": ["digital", "film"], "confusion_matrix": "none"}},
    ],
)
def test_metrics_of_another_model_give_no_expected_shares(tmp_path: Path, targets: Any) -> None:
    assert expected_class_shares(tmp_path, [MEDIUM]) == {}
    (tmp_path / "metrics.json").write_text(json.dumps({"validation": {"targets": targets}}))

    assert expected_class_shares(tmp_path, [MEDIUM]) == {}
