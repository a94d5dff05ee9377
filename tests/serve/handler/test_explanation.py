"""Contribution of patches to a prediction."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from lightmeter.models.runtime.predictor import Predictor
from lightmeter.serve.handler.explanation import explain
from lightmeter.serve.handler.service import PredictionService
from tests.serve.support import RunningServer, make_photo, make_run

PHOTO = make_photo(5)


@pytest.mark.server
def test_explanation_contains_contribution_of_each_patch(server: RunningServer) -> None:
    response = server.post("/explanations/tiny", content=PHOTO, headers={"Content-Type": "image/jpeg"})
    body = {"image": base64.b64encode(PHOTO).decode(), "explain": True}

    assert server.post("/predictions/tiny", json=body).json() == response.json()
    explanation = response.json()["explanation"]
    assert (explanation["width"], explanation["height"]) == (320, 240)
    assert len(explanation["patches"]) == 2
    for patch in explanation["patches"]:
        box = patch["box"]
        assert 0 <= box["x"] <= 320 - box["width"]
        assert 0 <= box["y"] <= 240 - box["height"]
        assert set(patch["contribution"]) == set(patch["alone"]) == {"shutter", "medium"}
    first, second = explanation["patches"]
    shutter = response.json()["predictions"]["shutter"]
    probability = shutter["probabilities"][shutter["class"]]
    assert first["contribution"]["shutter"] == pytest.approx(probability - second["alone"]["shutter"])


def test_contribution_is_the_probability_that_is_lost_without_the_patch(tmp_path: Path) -> None:
    predictor = Predictor.load(make_run(tmp_path / "run", "tiny"))
    photo = predictor.preprocess(PHOTO)
    whole = predictor.predict(photo).predictions
    classes = {name: prediction.label for name, prediction in whole.items()}
    fewer = replace(photo, inputs={**photo.inputs, "patches": photo.inputs["patches"][1:]})
    without = predictor.predict(fewer).predictions

    first = explain(predictor, photo, classes)["patches"][0]

    for name, label in classes.items():
        lost = whole[name].probabilities[label] - without[name].probabilities[label]
        assert first["contribution"][name] == pytest.approx(lost, abs=1e-5)


def test_more_than_64_patches_are_not_explained(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "many")
    spec = run / "model.toml"
    spec.write_text(spec.read_text().replace("patches = 2", "patches = 65"))

    response = PredictionService.load(run).respond({"body": PHOTO}, explain=True)

    assert response.status == 422
    assert "uses 65 patches; explanations support at most 64" in response.document["error"]["reason"]
