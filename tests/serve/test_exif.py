"""A model that reads EXIF too and tells several classes at once, behind TorchServe."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.serve.support import Server, make_photograph
from tests.support import CommandResult

pytestmark = pytest.mark.server

TOLD = {"FNumber": "f/16", "ISO": 3200}


def with_exif() -> bytes:
    tags = Image.Exif()
    tags.get_ifd(0x8769).update({0x829D: 16.0, 0x8827: 3200})
    file = io.BytesIO()
    Image.open(io.BytesIO(make_photograph())).save(file, "JPEG", quality="keep", exif=tags)
    return file.getvalue()


BARE, TAGGED = make_photograph(), with_exif()


def answer(server: Server, path: str = "/predictions/fusion", **request: Any) -> Any:
    document = server.ask(path, **request).json()
    return document.get("predictions", document)


def test_tags_are_read_from_the_file(fusion: Server) -> None:
    assert answer(fusion, files={"data": TAGGED}) != answer(fusion, files={"data": BARE})


@pytest.mark.parametrize(
    "request_",
    [
        {"files": {"data": BARE}, "data": {"exif": json.dumps(TOLD)}},
        {"files": {"data": BARE, "exif": ("exif.json", json.dumps(TOLD), "application/json")}},
        {"json": {"image": base64.b64encode(BARE).decode(), "exif": TOLD}},
    ],
    ids=["form", "JSON part", "JSON"],
)
def test_tags_can_be_told_beside_the_file(fusion: Server, request_: dict[str, Any]) -> None:
    assert answer(fusion, **request_) == answer(fusion, files={"data": TAGGED})


def test_the_command_tells_them_from_a_file(
    fusion: Server, command: Callable[..., CommandResult], tmp_path: Path
) -> None:
    files = [tmp_path / "bare.jpg", tmp_path / "tagged.jpg"]
    for file, data in zip(files, (BARE, TAGGED), strict=True):
        file.write_bytes(data)
    told = tmp_path / "exif.json"
    told.write_text(json.dumps([{"SourceFile": str(files[0]), **TOLD}]))

    plain = command("serve", "predict", "fusion", *files, "--server", "second").document
    there = command("serve", "predict", "fusion", *files, "--exif", told, "--server", "second").document
    here = command("models", "predict", "fusion", *files, "--exif", told).document

    assert there == here
    assert there[0]["predictions"] == there[1]["predictions"] == plain[1]["predictions"] != plain[0]["predictions"]


@pytest.mark.parametrize(
    ("exif", "reason"),
    [
        ([TOLD], "'exif' must be an object of tags"),
        ("f/8", "'exif' must be an object of tags"),
        ({"ISO": "high"}, "The EXIF tag 'ISO' must be a number or a fraction"),
        ({"FNumber": [16, 1]}, "The EXIF tag 'FNumber' must be a number or a fraction"),
    ],
)
def test_tags_that_make_no_sense_are_refused(fusion: Server, exif: Any, reason: str) -> None:
    for request_ in (
        {"json": {"image": base64.b64encode(BARE).decode(), "exif": exif}},
        {"files": {"data": BARE}, "data": {"exif": json.dumps(exif)}},
    ):
        refused = fusion.ask("/predictions/fusion", **request_)

        assert refused.status_code == 400
        assert reason in refused.json()["error"]["reason"]


def test_a_model_that_reads_no_tags_does_not_mind_them(served: Server) -> None:
    told = served.ask("/predictions/tiny", files={"data": BARE}, data={"exif": json.dumps(TOLD)})

    assert told.json() == served.ask("/predictions/tiny", files={"data": BARE}).json()


def test_several_classes_are_those_more_probable_than_not(fusion: Server) -> None:
    found = answer(fusion, files={"data": BARE})["concept"]

    assert found["classes"] == [name for name, share in found["probabilities"].items() if share >= 0.5]
    assert "class" not in found
    first = answer(fusion, files={"data": BARE}, data={"top_k": "1", "targets": "concept"})
    best = max(found["probabilities"].items(), key=lambda pair: pair[1])
    assert first == {"concept": {**found, "probabilities": dict([best])}}


def test_several_classes_are_counted_one_by_one(fusion: Server) -> None:
    (label, *_) = answer(fusion, files={"data": BARE})["concept"]["classes"]

    assert f'lightmeter_predictions{{ModelName="fusion",ModelVersion="1.0",Target="concept",Class="{label}"' in (
        fusion.metrics()
    )


def test_a_view_is_not_explained_by_patches(fusion: Server) -> None:
    refused = fusion.ask("/explanations/fusion", files={"data": BARE})

    assert refused.status_code == 422
    assert "patches" in refused.json()["error"]["reason"]


def test_a_photograph_outside_the_model_s_range_is_answered_with_a_warning(fusion: Server) -> None:
    request = {"files": {"data": make_photograph(0, (1000, 300))}}

    (warning,) = fusion.ask("/predictions/fusion", **request).json()["warnings"]

    assert warning == {
        "kind": "outside",
        "reason": "The photograph has 1000 pixels on its longer side; training photographs have 300 to 400.",
    }
