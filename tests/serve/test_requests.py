"""What a request can ask for, and what an answer holds."""

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightmeter.exposure import setting_from_stops
from lightmeter.models.runtime.predictor import InvalidPhoto
from lightmeter.models.runtime.spec import Target
from lightmeter.serve.handler.metrics import ClassDistribution, expected_mix
from lightmeter.serve.handler.request import OPTIONS, PARTS, Request, read_request
from lightmeter.serve.handler.service import PredictionService
from tests.serve.support import Server, make_photograph, make_run
from tests.support import encode_image

PHOTOGRAPH = make_photograph(5)
ENCODED = base64.b64encode(PHOTOGRAPH).decode()


@pytest.mark.server
@pytest.mark.parametrize(
    "request_",
    [
        {"content": PHOTOGRAPH, "headers": {"Content-Type": "image/jpeg"}},
        {"files": {"data": PHOTOGRAPH}},
        {"json": {"image": ENCODED}},
    ],
    ids=["plain", "form", "JSON"],
)
def test_a_photograph_can_be_sent_in_three_ways(served: Server, request_: dict[str, Any]) -> None:
    answer = served.ask("/predictions/tiny", **request_)

    assert answer.status_code == 200
    assert answer.json() == served.ask("/predictions/tiny", content=PHOTOGRAPH, headers={"Content-Type": "a/b"}).json()


@pytest.mark.server
@pytest.mark.parametrize(
    "request_",
    [
        {"files": {"data": PHOTOGRAPH}, "data": {"top_k": "1", "targets": "shutter"}},
        {"json": {"image": ENCODED, "top_k": 1, "targets": ["shutter"]}},
    ],
    ids=["form", "JSON"],
)
def test_an_answer_can_be_cut_to_targets_and_the_most_probable_classes(
    served: Server, request_: dict[str, Any]
) -> None:
    whole = served.ask("/predictions/tiny", json={"image": ENCODED}).json()["predictions"]["shutter"]

    found = served.ask("/predictions/tiny", **request_).json()["predictions"]

    best = whole["class"]
    assert found == {"shutter": {**whole, "probabilities": {best: whole["probabilities"][best]}}}


@pytest.mark.server
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"image": ENCODED, "targets": ["iso"]}, "There is no target 'iso'; there are shutter, medium."),
        ({"image": ENCODED, "topk": 1}, "There is no option 'topk'"),
        ({"image": ENCODED, "top_k": -1}, "'top_k' must be"),
        ({"image": ENCODED, "top_k": True}, "'top_k' must be"),
        ({"image": ENCODED, "targets": "shutter"}, "'targets' must be"),
        ({"image": ENCODED, "explain": "yes"}, "'explain' must be"),
        ({"image": "ÿ"}, "is not base64"),
        ({"image": 5}, "holds no photograph"),
        ({}, "holds no photograph"),
        ([], "The body is JSON"),
        (5, "The body is JSON"),
    ],
)
def test_wrong_json_is_refused_with_a_reason(served: Server, body: Any, reason: str) -> None:
    answer = served.ask("/predictions/tiny", json=body)

    assert answer.status_code == 400
    assert reason in answer.json()["error"]["reason"]


@pytest.mark.parametrize("text", ["many", "1.5", "[" * 5000, "", "0x1"])
def test_an_option_of_a_form_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidPhoto, match="top_k"):
        read_request({"data": PHOTOGRAPH, "top_k": bytearray(text.encode())})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ENCODED),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*PARTS, *OPTIONS]) | st.text(), VALUES))
def test_whatever_json_holds_is_a_request_or_refused(document: dict[str, Any]) -> None:
    for parts in ({"body": document}, document):
        with suppress(InvalidPhoto):
            assert isinstance(read_request(parts).data, bytes)


@pytest.mark.server
def test_explanations_tell_which_patches_counted(served: Server) -> None:
    answer = served.ask("/explanations/tiny", content=PHOTOGRAPH, headers={"Content-Type": "image/jpeg"})
    asked = served.ask("/predictions/tiny", json={"image": ENCODED, "explain": True})

    assert asked.json() == answer.json()
    explanation = answer.json()["explanation"]
    assert (explanation["width"], explanation["height"]) == (320, 240)
    assert len(explanation["patches"]) == 2
    for patch in explanation["patches"]:
        box = patch["box"]
        assert 0 <= box["x"] <= 320 - box["width"]
        assert 0 <= box["y"] <= 240 - box["height"]
        assert set(patch["counts"]) == set(patch["alone"]) == {"shutter", "medium"}
    first, second = explanation["patches"]
    whole = answer.json()["predictions"]["shutter"]
    assert first["counts"]["shutter"] == pytest.approx(
        whole["probabilities"][whole["class"]] - second["alone"]["shutter"]
    )


def test_more_than_64_patches_are_not_explained(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "many")
    spec = run / "model.toml"
    spec.write_text(spec.read_text().replace("patches = 2", "patches = 65"))

    with pytest.raises(InvalidPhoto, match="looks at 65 patches; at most 64 are explained") as refused:
        PredictionService.load(run).answer(Request(PHOTOGRAPH, explain=True))

    assert refused.value.status == 422


@pytest.mark.server
@pytest.mark.parametrize(
    ("photograph", "kinds"),
    [
        (PHOTOGRAPH, []),
        (encode_image(np.full((200, 200), 90, np.uint8) + np.arange(200, dtype=np.uint8)), ["monochrome"]),
        (make_photograph(1, (400, 50)), ["tiny"]),
        (encode_image(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8), quality=40), ["resaved"]),
        (encode_image(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8), kind="PNG"), []),
    ],
    ids=["usual", "grey", "tiny", "compressed", "png"],
)
def test_a_photograph_that_is_unlike_others_is_answered_with_a_warning(
    served: Server, photograph: bytes, kinds: list[str]
) -> None:
    document = served.ask("/predictions/tiny", content=photograph, headers={"Content-Type": "a/b"}).json()

    assert [warning["kind"] for warning in document.get("warnings", [])] == kinds
    assert document["predictions"]


@pytest.mark.server
def test_a_resized_photograph_gives_itself_away_by_its_exif(served: Server) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA002: 4000, 0xA003: 3000})
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)

    document = served.ask("/predictions/tiny", files={"data": encode_image(pixels, exif=exif, quality=90)}).json()

    (warning,) = document["warnings"]
    assert warning["kind"] == "resized"
    assert "4000 × 3000" in warning["reason"]


@pytest.mark.server
def test_metrics_count_requests_classes_and_time(served: Server) -> None:
    def count(line: str) -> float:
        return next((float(each.split()[-1]) for each in served.metrics().splitlines() if each.startswith(line)), 0.0)

    model = 'ModelName="tiny",ModelVersion="1.0"'
    lines = {
        f'lightmeter_requests{{{model},Outcome="200"': 3,
        f'lightmeter_requests{{{model},Outcome="415"': 1,
        f"lightmeter_decoding_seconds_count{{{model}": 3,
        f"lightmeter_inference_seconds_count{{{model}": 3,
    }
    before = {line: count(line) for line in lines}
    for body in (PHOTOGRAPH, b"no picture", PHOTOGRAPH, PHOTOGRAPH):
        label = served.ask("/predictions/tiny", content=body, headers={"Content-Type": "a/b"}).json()

    assert {line: count(line) - before[line] for line in lines} == lines
    best = label["predictions"]["medium"]["class"]
    assert count(f'lightmeter_predictions{{{model},Target="medium",Class="{best}"') >= 3
    assert count(f'lightmeter_class_drift{{{model},Target="medium"') > 0


def test_drift_is_none_while_answers_come_as_in_validation() -> None:
    mix = ClassDistribution({"a": 0.5, "b": 0.5})

    even = [mix.drift_after("ab"[index % 2]) for index in range(1000)][-1]
    one_sided = [mix.drift_after("a") for _ in range(3000)][-1]

    assert even < 0.01
    assert one_sided == pytest.approx(0.5, abs=0.01)


FILM = Target("medium", ("digital", "film"))


def test_the_expected_mix_is_what_was_answered_in_validation(tmp_path: Path) -> None:
    told = {"classes": ["digital", "film"], "confusion": [[5, 1], [1, 1]]}
    (tmp_path / "metrics.json").write_text(json.dumps({"validation": {"targets": {"medium": told}}}))

    assert expected_mix(tmp_path, [FILM]) == {"medium": {"digital": 0.75, "film": 0.25}}


@pytest.mark.parametrize(
    "targets",
    [
        {},
        [],
        {"medium": {}},
        {"medium": {"classes": ["digital", "slide"], "confusion": [[1, 1], [1, 1]]}},
        {"medium": {"classes": ["digital", "film"], "confusion": [[1]]}},
        {"medium": {"classes": ["digital", "film"], "confusion": [[0, 0], [0, 0]]}},
        {"medium": {"classes": ["digital", "film"], "confusion": "none"}},
    ],
)
def test_figures_of_another_model_expect_nothing(tmp_path: Path, targets: Any) -> None:
    assert expected_mix(tmp_path, [FILM]) == {}
    (tmp_path / "metrics.json").write_text(json.dumps({"validation": {"targets": targets}}))

    assert expected_mix(tmp_path, [FILM]) == {}


@pytest.mark.server
def test_stops_are_told_as_what_a_dial_says_too(served: Server) -> None:
    found = served.ask("/predictions/tiny", json={"image": ENCODED}).json()["predictions"]

    assert found["shutter"]["number"] == pytest.approx(2 ** found["shutter"]["stops"])
    assert "number" not in found["medium"]


@pytest.mark.parametrize(
    ("stops", "unit", "number"),
    [(5, "Av", 2**2.5), (-8, "log2 s", 1 / 256), (2, "log2 (ISO / 100)", 400), (2, "mm", None), (1e9, "Av", None)],
)
def test_stops_in_the_units_of_targets(stops: float, unit: str, number: float | None) -> None:
    assert setting_from_stops(stops, unit) == number
