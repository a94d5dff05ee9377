"""The fields of a request's body."""

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.serve.gateway.fields import InvalidForm, request_fields

URLENCODED = "application/x-www-form-urlencoded"
IMAGES = {
    "JPEG": b"\xff\xd8\xff\xe0",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "GIF": b"GIF89a=",
    "TIFF": b"II*\0\x08\0\0\0",
    "BMP of an odd size": b"BM=\x01\0\0",
    "WebP": b"RIFF=\0\0\0WEBP",
    "HEIC": b"\0\0\0\x18ftypheic",
}


@pytest.mark.parametrize("kind", IMAGES)
def test_image_that_curl_calls_a_form_is_an_image(kind: str) -> None:
    body = IMAGES[kind] + bytes(range(256)) * 4

    assert request_fields(URLENCODED, body, {}) == {"body": body}


@given(st.dictionaries(st.text("abcdefghij_", min_size=1, max_size=9), st.binary(max_size=200), min_size=1))
def test_urlencoded_form_is_parsed(fields: dict[str, bytes]) -> None:
    assert request_fields(URLENCODED, urlencode(fields).encode(), {}) == fields


@given(st.text(max_size=60), st.binary(max_size=400))
def test_any_body_gives_fields_or_a_sentence(content_type: str, body: bytes) -> None:
    for declared in (content_type, "multipart/form-data; boundary=b", f"multipart/form-data; boundary={content_type}"):
        with suppress(InvalidForm):
            fields = request_fields(declared, b"--b\r\n" + body, {})
            assert all(isinstance(value, bytes) for value in fields.values())


def test_field_given_twice_is_refused() -> None:
    with pytest.raises(InvalidForm, match="'top_k' more than once"):
        request_fields(URLENCODED, b"image=x&top_k=1", {"top_k": "2"})
