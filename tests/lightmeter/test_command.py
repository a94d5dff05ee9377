"""The root command: help, errors, exit codes, options that may stand anywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lightmeter import __version__, console
from lightmeter.cli import main
from tests.support import Lightmeter


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lightmeter {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("catalogue", "demo", "doctor", "harvest", "init", "labels", "models", "serve"):
        assert f" {command} " in shown


@pytest.mark.parametrize("words", [["--help"], ["harvest", "--help"], ["labels", "--help"], ["models", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from lightmeter.cli import main; main(sys.argv[1:]);"
        "print([m for m in ('torch', 'scrapy', 'sqlalchemy', 'cv2', 'numpy', 'sklearn', 'pydantic_settings') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_json_may_stand_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--json", "init", str(tmp_path / "a")], ["init", str(tmp_path / "b"), "--json"]):
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["settings"].endswith("lightmeter.toml")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nonsense"], "nonsense"),
        (["init", "--colour"], "--colour"),
        (["harvest", "status"], "lightmeter init"),
        (["--project", "nowhere", "harvest", "status"], "nowhere is no project"),
        (["harvest", "run", "flicker"], "flicker"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("lightmeter: ")
    assert len(err.splitlines()) == 1


def test_errors_are_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["harvest", "status", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] in err


def test_a_group_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["harvest"]) == 2
    out, err = capsys.readouterr()
    assert "Commands" in out
    assert err == ""


def test_debug_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightmeter.errors import UsageError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        main(["harvest", "status", "--debug"])


def test_init_twice_changes_nothing(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path), "--quiet"]) == 0
    before = (tmp_path / "lightmeter.toml").read_bytes()
    assert main(["init", str(tmp_path), "--quiet"]) == 0
    assert (tmp_path / "lightmeter.toml").read_bytes() == before


def test_doctor_finds_everything_in_a_new_project(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = {check["what"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["catalogue"]["state"] == "fine"
    assert "folder" in checks["sources"]["found"]


def test_doctor_reports_what_is_broken(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "lightmeter.toml").write_text("[catalogue]\nurl = 'sqlite:////nowhere/at/all.sqlite'\n")
    assert main(["doctor", "--json"]) == 1
    states = {check["what"]: check["state"] for check in json.loads(capsys.readouterr().out)}
    assert states["catalogue"] == "broken"


def test_the_command_runs_as_a_module(lightmeter: Lightmeter) -> None:
    assert lightmeter.process("--version").stdout.startswith("lightmeter ")


def test_names_that_look_like_markup_stand_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with console.use_console(console.Console()):
        console.get_console().emit({}, ["a[bold].jpg [/b]", console.table("[/t]", ("[/h]",), [("[/r]",)])])
        console.get_console().note("pip install 'lightmeter[audit]'")
    said = capsys.readouterr()
    assert all(name in said.out for name in ("a[bold].jpg [/b]", "[/t]", "[/h]", "[/r]"))
    assert "lightmeter[audit]" in said.err
