"""What reaches terminals, pipes and other programs."""

import io
import json
import math
import sys
from contextlib import redirect_stdout
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console as RichConsole

from lightmeter.terminal.console import Console, escape_unprintable, table

HOSTILE = "a\x1b[31m\x07\x9b\u202e\ud83d\r\x00\nlightmeter: done"
ESCAPED = r"a\x1b[31m\x07\x9b\u202e\ud83d\r\x00\nlightmeter: done"


def test_control_characters_never_reach_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console()
    console.emit({}, [HOSTILE, table(HOSTILE, [HOSTILE], [[HOSTILE], [Path(HOSTILE)]])])
    console.note(HOSTILE)
    console.fail(HOSTILE, [HOSTILE])
    Console(json=True).emit({"text": HOSTILE, "list": [HOSTILE]}, "")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    console.write_data(io.BytesIO(f"title\r\n{HOSTILE}\r\n".encode(errors="replace")))
    captured = capsys.readouterr()
    assert captured.out.count(ESCAPED) == 5
    assert captured.err.splitlines() == [ESCAPED, f"lightmeter: {ESCAPED}", f"  {ESCAPED}"]
    for line in captured.out.splitlines():
        assert escape_unprintable(line) == line


@given(st.text(alphabet=st.characters(), max_size=50))
def test_escaped_text_is_one_printable_line(text: str) -> None:
    escaped = escape_unprintable(text)
    escaped.encode()
    assert "\x1b" not in escaped
    assert len(escaped.splitlines()) <= 1


def test_paths_in_tables_are_never_cut_without_a_terminal_and_break_at_separators_on_one() -> None:
    path = "/home/someone/a project/runs/patches-iso-demo-1/" + "x" * 30 + "/report.html"
    result = table("/a/title/that/is/" + "longer/" * 20, ["what", "file"], [["report", path], ["size", 3]])
    out = io.StringIO()
    with redirect_stdout(out):
        Console().emit({}, result)
    assert path in out.getvalue()
    out = io.StringIO()
    RichConsole(file=out, width=60, force_terminal=True, color_system=None).print(result)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    pieces = [line.removeprefix("  report").strip() for line in lines if "report" in line or "/" in line][5:]
    assert all(piece.endswith("/") for piece in pieces[:-1]), pieces
    assert "".join(pieces).endswith(f"{'x' * 30}/report.html")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_encoding_can_print(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors="lightmeter-ascii")
    stream.write("✓ 1/80 s – 3 × 4 … ██░ 日本 é")
    stream.flush()
    printed = raw.getvalue().decode(encoding)
    assert "1/80 s" in printed
    if encoding == "ascii":
        assert printed == r"+ 1/80 s - 3 x 4 ... ##: \u65e5\u672c \xe9"


def test_json_holds_no_number_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"a": math.nan, "b": [math.inf, -math.inf, 0.5], "c": Path("x"), "d": date(2020, 1, 2), "e": "\udce9"}
    Console(json=True).emit(document, "")
    parsed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert parsed == {"a": None, "b": [None, None, 0.5], "c": "x", "d": "2020-01-02", "e": "\udce9"}
