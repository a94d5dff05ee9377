"""The Open Inference Protocol: requests of any shape are parsed or refused in one sentence."""

import base64
import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.serve.gateway.inference_protocol import InvalidInference, parse_request


def request(data: object = None, shape: object = None, **changes: object) -> bytes:
    tensor = {"name": "image", "datatype": "BYTES", "shape": shape or [1]} | ({"data": data} if data else {}) | changes
    return json.dumps({"id": "7", "inputs": [tensor]}).encode()


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5))
def test_binary_and_base64_photographs_are_the_same(images: list[bytes]) -> None:
    header = request(shape=[len(images)])
    binary = b"".join(struct.pack("<I", len(image)) + image for image in images)
    assert parse_request(header + binary, str(len(header))) == ("7", images)
    encoded = [base64.b64encode(image).decode() for image in images]
    assert parse_request(request(encoded, [len(images)]), None) == ("7", images)


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=5), st.integers().map(str)))
def test_any_bytes_are_parsed_or_refused(body: bytes, length: str | None) -> None:
    with suppress(InvalidInference):
        parse_request(body, length)


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (request(["AAAA"], [2]), None),
        (request(["not base64!"]), None),
        (request([1]), None),
        (request(["AAAA"], name="input"), None),
        (request(["AAAA"], datatype="FP32"), None),
        (request(["AAAA"] * 65, [65]), None),
        (request() + b"\xff\x00\x00\x00x", str(len(request()))),
        (request() + b"\x01", str(len(request()))),
        (b"{}", None),
        (b'{"inputs": []}', None),
        (b"[" * 100_000, None),
        (request(["AAAA"]), "-1"),
        (request(["AAAA"]), "99999"),
    ],
)
def test_other_requests_are_refused(body: bytes, length: str | None) -> None:
    with pytest.raises(InvalidInference):
        parse_request(body, length)
