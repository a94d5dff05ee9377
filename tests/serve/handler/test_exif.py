"""A model with EXIF inputs and a multi-label target, served by TorchServe."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serve.support import RunningServer, make_photo, photo_with_exif
from tests.support import CommandResult

pytestmark = pytest.mark.server

TAGS = {"FNumber": "f/16", "ISO": 3200}


WITHOUT_EXIF, WITH_EXIF = make_photo(), photo_with_exif({0x829D: 16.0, 0x8827: 3200})


def predictions(server: RunningServer, **request: Any) -> Any:
    document = server.post("/predictions/fusion", **request).json()
    return document.get("predictions", document)


def test_tags_are_read_from_the_file(fusion_server: RunningServer) -> None:
    with_exif = predictions(fusion_server, files={"data": WITH_EXIF})

    assert with_exif != predictions(fusion_server, files={"data": WITHOUT_EXIF})


@pytest.mark.parametrize(
    "request_",
    [
        {"files": {"data": WITHOUT_EXIF}, "data": {"exif": json.dumps(TAGS)}},
        {"files": {"data": WITHOUT_EXIF, "exif": ("exif.json", json.dumps(TAGS), "application/json")}},
        {"json": {"image": base64.b64encode(WITHOUT_EXIF).decode(), "exif": TAGS}},
    ],
    ids=["form", "JSON field", "JSON"],
)
def test_exif_option_supplies_tags(fusion_server: RunningServer, request_: dict[str, Any]) -> None:
    assert predictions(fusion_server, **request_) == predictions(fusion_server, files={"data": WITH_EXIF})


def test_exif_file_supplies_tags_of_its_photos(
    fusion_server: RunningServer, command: Callable[..., CommandResult], tmp_path: Path
) -> None:
    files = [tmp_path / "without.jpg", tmp_path / "with.jpg"]
    for file, data in zip(files, (WITHOUT_EXIF, WITH_EXIF), strict=True):
        file.write_bytes(data)
    exif = tmp_path / "exif.json"
    exif.write_text(json.dumps([{"SourceFile": str(files[0]), **TAGS}]))

    plain = command("serve", "predict", "fusion", *files, "--server", "second").document
    served = command("serve", "predict", "fusion", *files, "--exif", exif, "--server", "second").document
    in_process = command("models", "predict", "fusion", *files, "--exif", exif).document

    assert served == in_process
    assert served[0]["predictions"] == served[1]["predictions"] == plain[1]["predictions"] != plain[0]["predictions"]


@pytest.mark.parametrize(
    ("exif", "reason"),
    [
        ([TAGS], "'exif' must be an object of tags"),
        ("f/8", "'exif' must be an object of tags"),
        ({"ISO": "high"}, "The EXIF tag 'ISO' must be a number or a fraction"),
        ({"FNumber": [16, 1]}, "The EXIF tag 'FNumber' must be a number or a fraction"),
    ],
)
def test_invalid_exif_option_is_refused(fusion_server: RunningServer, exif: Any, reason: str) -> None:
    for request in (
        {"json": {"image": base64.b64encode(WITHOUT_EXIF).decode(), "exif": exif}},
        {"files": {"data": WITHOUT_EXIF}, "data": {"exif": json.dumps(exif)}},
    ):
        response = fusion_server.post("/predictions/fusion", **request)

        assert response.status_code == 400
        assert reason in response.json()["error"]["reason"]


def test_model_without_exif_inputs_ignores_tags(server: RunningServer) -> None:
    with_tags = server.post("/predictions/tiny", files={"data": WITHOUT_EXIF}, data={"exif": json.dumps(TAGS)})

    assert with_tags.json() == server.post("/predictions/tiny", files={"data": WITHOUT_EXIF}).json()


def test_multilabel_target_returns_probable_classes(fusion_server: RunningServer) -> None:
    concept = predictions(fusion_server, files={"data": WITHOUT_EXIF})["concept"]

    assert concept["classes"] == [name for name, share in concept["probabilities"].items() if share >= 0.5]
    assert "class" not in concept
    first = predictions(fusion_server, files={"data": WITHOUT_EXIF}, data={"top_k": "1", "targets": "concept"})
    best = max(concept["probabilities"].items(), key=lambda item: item[1])
    assert first == {"concept": {**concept, "probabilities": dict([best])}}


def test_metrics_count_each_class_of_a_multilabel_target(fusion_server: RunningServer) -> None:
    (label, *_) = predictions(fusion_server, files={"data": WITHOUT_EXIF})["concept"]["classes"]

    labels = f'model_name="fusion",model_version="1.0",target="concept",class="{label}"'
    assert f"lightmeter_predictions_total{{{labels}" in fusion_server.metrics()


def test_model_without_patches_is_not_explained(fusion_server: RunningServer) -> None:
    response = fusion_server.post("/explanations/fusion", files={"data": WITHOUT_EXIF})

    assert response.status_code == 422
    assert "patches" in response.json()["error"]["reason"]


def test_photo_outside_the_training_range_gets_a_warning(fusion_server: RunningServer) -> None:
    photo = make_photo(0, (1000, 300))

    (warning,) = fusion_server.post("/predictions/fusion", files={"data": photo}).json()["warnings"]

    assert warning["kind"] == "outside"
    assert "1000 pixels" in warning["reason"]
    assert "300 to 400" in warning["reason"]
