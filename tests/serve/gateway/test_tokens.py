"""Tokens of the gateway: replaced in time, or set once."""

import json
from pathlib import Path

import pytest

from lightmeter.errors import UsageError
from lightmeter.serve.gateway.tokens import Tokens, publish, static_key


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_client_that_reads_the_file_once_in_half_a_lifetime_is_never_refused() -> None:
    clock = Clock()
    tokens = Tokens(60, clock=clock)
    held = ""
    for second in range(300):
        clock.now = second
        if second % tokens.renewal_s == 0:
            tokens.add(f"token of {second}")
        if second % 30 == 17:
            held = f"token of {second // 30 * 30}"
        assert not held or tokens.accepts(held)


def test_token_expires_after_its_lifetime() -> None:
    clock = Clock()
    tokens = Tokens(60, clock=clock)
    tokens.add("first")

    clock.now = 59
    assert tokens.accepts("first")
    clock.now = 60
    assert not tokens.accepts("first")


@pytest.mark.parametrize("token", ["", "wrong", "ÿ", "\ud83d", "a-key-that-never-expire"])
def test_other_tokens_are_refused(token: str) -> None:
    tokens = Tokens(60, "a-key-that-never-expires")

    assert not tokens.accepts(token)
    assert not Tokens(60).accepts(token)
    assert tokens.accepts("a-key-that-never-expires")


@pytest.mark.parametrize(
    "key", ["short", "x" * 15, "a key with blanks in it", "a-key-with-line\nbreaks-in-it", "ü" * 20]
)
def test_key_that_is_weak_or_cannot_be_sent_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="LIGHTMETER_SERVE__TOKEN"):
        static_key(key)


def test_published_file_is_complete_private_and_has_the_gateways_expiration(tmp_path: Path) -> None:
    file = tmp_path / "key_file.json"
    for number in range(3):
        publish(file, {"inference": {"key": f"k{number}", "expiration time": "2076"}, "API": {"key": "a"}}, 60)

    document = json.loads(file.read_text())
    assert document["inference"]["key"] == "k2"
    assert not document["inference"]["expiration time"].startswith("2076")
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
