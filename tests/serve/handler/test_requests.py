"""Request formats and options, and the content of responses."""

import base64
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.serve.handler.request import OPTIONS, PHOTO_FIELDS, parse_request
from tests.serve.support import OCTET_STREAM, RunningServer, make_photo
from tests.support import encode_image

PHOTO = make_photo(5)
ENCODED = base64.b64encode(PHOTO).decode()
NOISE = np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)


@pytest.mark.server
@pytest.mark.parametrize(
    "request_",
    [
        {"content": PHOTO, "headers": {"Content-Type": "image/jpeg"}},
        {"files": {"data": PHOTO}},
        {"json": {"image": ENCODED}},
    ],
    ids=["body", "form", "JSON"],
)
def test_request_formats_give_the_same_response(server: RunningServer, request_: dict[str, Any]) -> None:
    response = server.post("/predictions/tiny", **request_)

    assert response.status_code == 200
    assert response.json() == server.post("/predictions/tiny", content=PHOTO, headers=OCTET_STREAM).json()


@pytest.mark.server
@pytest.mark.parametrize(
    "request_",
    [
        {"files": {"data": PHOTO}, "data": {"top_k": "1", "targets": "shutter"}},
        {"json": {"image": ENCODED, "top_k": 1, "targets": ["shutter"]}},
    ],
    ids=["form", "JSON"],
)
def test_top_k_and_targets_limit_the_response(server: RunningServer, request_: dict[str, Any]) -> None:
    shutter = server.post("/predictions/tiny", json={"image": ENCODED}).json()["predictions"]["shutter"]

    limited = server.post("/predictions/tiny", **request_).json()["predictions"]

    label = shutter["class"]
    assert limited == {"shutter": {**shutter, "probabilities": {label: shutter["probabilities"][label]}}}


@pytest.mark.server
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            {"image": ENCODED, "targets": ["iso"]},
            "Unknown target 'iso'; the targets of this model are shutter, medium.",
        ),
        ({"image": ENCODED, "topk": 1}, "Unknown option 'topk'"),
        ({"image": ENCODED, "top_k": -1}, "'top_k' must be"),
        ({"image": ENCODED, "top_k": True}, "'top_k' must be"),
        ({"image": ENCODED, "targets": "shutter"}, "'targets' must be"),
        ({"image": ENCODED, "explain": "yes"}, "'explain' must be"),
        ({"image": "ÿ"}, "not valid base64"),
        ({"image": 5}, "contains no photograph"),
        ({}, "contains no photograph"),
        ([], "The body is JSON"),
    ],
)
def test_invalid_json_request_is_refused_with_reason(server: RunningServer, body: Any, reason: str) -> None:
    response = server.post("/predictions/tiny", json=body)

    assert response.status_code == 400
    assert reason in response.json()["error"]["reason"]


@pytest.mark.parametrize("text", ["many", "1.5", "[" * 5000, "", "0x1"])
def test_invalid_form_option_is_refused(text: str) -> None:
    with pytest.raises(InvalidPhoto, match="top_k"):
        parse_request({"data": PHOTO, "top_k": bytearray(text.encode())})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ENCODED),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*PHOTO_FIELDS, *OPTIONS]) | st.text(), VALUES))
def test_any_json_is_parsed_or_refused(document: dict[str, Any]) -> None:
    for fields in ({"body": document}, document):
        with suppress(InvalidPhoto):
            assert isinstance(parse_request(fields).data, bytes)


@pytest.mark.server
@pytest.mark.parametrize(
    ("photo", "kinds"),
    [
        (PHOTO, []),
        (encode_image(np.full((200, 200), 90, np.uint8) + np.arange(200, dtype=np.uint8)), ["monochrome"]),
        (make_photo(1, (400, 50)), ["tiny"]),
        (encode_image(NOISE, quality=40), ["resaved"]),
        (encode_image(NOISE, "PNG"), []),
    ],
    ids=["usual", "grey", "tiny", "compressed", "png"],
)
def test_unusual_photo_gets_a_warning(server: RunningServer, photo: bytes, kinds: list[str]) -> None:
    document = server.post("/predictions/tiny", content=photo, headers=OCTET_STREAM).json()

    assert [warning["kind"] for warning in document.get("warnings", [])] == kinds
    assert document["predictions"]


@pytest.mark.server
def test_photo_with_other_size_than_in_exif_gets_a_warning(server: RunningServer) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA002: 4000, 0xA003: 3000})
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)

    photo = encode_image(pixels, exif=exif, quality=90)
    (warning,) = server.post("/predictions/tiny", files={"data": photo}).json()["warnings"]

    assert warning["kind"] == "resized"
    assert "4000 × 3000" in warning["reason"]


@pytest.mark.server
def test_ordinal_target_has_stops_and_number(server: RunningServer) -> None:
    predictions = server.post("/predictions/tiny", json={"image": ENCODED}).json()["predictions"]

    assert predictions["shutter"]["number"] == pytest.approx(2 ** predictions["shutter"]["stops"])
    assert "number" not in predictions["medium"]
