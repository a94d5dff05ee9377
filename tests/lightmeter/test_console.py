"""What reaches terminals, pipes and other programs."""

import io
import json
import math
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.console import Console, escape_unprintable, table

HOSTILE = "a\x1b[31m\x07\x9b\u202e\ud83d\r\x00"


def test_control_characters_never_reach_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console()
    console.emit({}, [HOSTILE, table(HOSTILE, [HOSTILE], [[HOSTILE], [Path(HOSTILE)]])])
    console.note(HOSTILE)
    console.fail(HOSTILE)
    Console(json=True).emit({"text": HOSTILE, "list": [HOSTILE]}, "")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    console.write_data(io.BytesIO(f"title\r\n{HOSTILE}\r\n".encode(errors="replace")))
    captured = capsys.readouterr()
    assert captured.out.count(r"a\x1b[31m\x07\x9b\u202e\ud83d\r\x00") >= 1
    for text in (captured.out, captured.err):
        assert escape_unprintable(text) == text


@given(st.text(alphabet=st.characters(), max_size=50))
def test_escaped_text_is_printable_and_unambiguous_lines_remain(text: str) -> None:
    escaped = escape_unprintable(text)
    escaped.encode()
    assert "\x1b" not in escaped
    assert escaped.count("\n") == text.count("\n")


def test_json_holds_no_number_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"a": math.nan, "b": [math.inf, -math.inf, 0.5], "c": Path("x"), "d": date(2020, 1, 2), "e": "\udce9"}
    Console(json=True).emit(document, "")
    parsed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert parsed == {"a": None, "b": [None, None, 0.5], "c": "x", "d": "2020-01-02", "e": "\udce9"}
