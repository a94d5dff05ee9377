"""Addresses from sources: what can be requested, and what is stored of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.harvest.addresses import (
    InvalidAddress,
    check_web_address,
    host_of,
    parse_address,
    remove_credentials,
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTP://EXAMPLE.org/Fog.JPG", "http://example.org/Fog.JPG"),
        ("  https://example.org/fog\n.jpg ", "https://example.org/fog.jpg"),
        ("https://ann:se%20cret@example.org:8443/a?b=c@d", "https://example.org:8443/a?b=c@d"),
        ("http://example.org:/a", "http://example.org/a"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://münchen.example/ä b.jpg", "http://münchen.example/ä b.jpg"),
        ("FILE:///photos/a%E9.jpg", "file:///photos/a%E9.jpg"),
        (f"https://example.org/a?token={'t' * 10_000}", f"https://example.org/a?token={'t' * 10_000}"),
    ],
)
def test_valid_address_is_normalised(text: str, url: str) -> None:
    assert parse_address(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "http://[broken/x.jpg", "http://h:abc/x", "http://h:99999/x", "http://h:0/x", "http:x.jpg", "http:///x.jpg",
        "http://\u2100.invalid/", "http://a..b/", f"http://{'a' * 64}.org/", f"http://{'a.' * 200}org/", "x.jpg", "",
        "http://ex ample.org/", f"https://example.org/{'x' * 20_000}",
    ],
)  # fmt: skip
def test_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_address(text)


def test_credentials_become_a_header() -> None:
    assert parse_address("http://ann:se%20cret@example.org/").authorisation == "Basic YW5uOnNlIGNyZXQ="
    assert remove_credentials("at http://a:b@c/d and ftp://e@f") == "at http://c/d and ftp://f"
    assert remove_credentials("ann@example.org") == "ann@example.org"
    with pytest.raises(ValueError, match="without user name"):
        check_web_address("https://ann:secret@example.org/")


def test_host_is_the_same_in_every_notation() -> None:
    urls = ["http://Example.org/a", "http://example.org:80/b", "https://example.org:443/c"]
    assert {host_of(url) for url in urls} == {"example.org"}
    assert host_of("http://example.org:8080/") == "example.org:8080"


@given(st.text(max_size=60).map(lambda text: f"http://{text}") | st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except InvalidAddress:
        return
    assert parse_address(address.url).url == address.url
    assert address.authorisation is None or parse_address(address.url).authorisation is None
