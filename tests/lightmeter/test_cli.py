"""The root command: help, error messages, exit codes and global options."""

import gc
import json
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lightmeter import __version__
from lightmeter.__main__ import postpone_garbage_collection
from lightmeter.cli import main
from lightmeter.doctor import EXTRAS, extra_packages
from lightmeter.errors import UsageError
from lightmeter.terminal import console
from lightmeter.web import free_port
from tests.support import ROOT, CommandRunner, run_json


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lightmeter {__version__}\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    help_text = capsys.readouterr().out
    for command in ("catalogue", "demo", "doctor", "harvest", "init", "labels", "models", "serve"):
        assert f" {command} " in help_text


def test_help_imports_no_heavy_libraries() -> None:
    code = (
        "import sys; from lightmeter.cli import main;"
        "print([main([*group.split(), '--help']) for group in ('', 'harvest', 'labels', 'models', 'serve')]);"
        "print([m for m in ('torch', 'scrapy', 'sqlalchemy', 'cv2', 'numpy', 'sklearn', 'pydantic_settings', "
        "'starlette', 'uvicorn') if m in sys.modules])"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.splitlines()[-2:] == ["[0, 0, 0, 0, 0]", "[]"]


def test_json_option_is_accepted_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["--json", "init", str(tmp_path / "a")], ["init", str(tmp_path / "b"), "--json"]):
        assert main(args) == 0
        assert json.loads(capsys.readouterr().out)["settings"].endswith("lightmeter.toml")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nonsense"], "nonsense"),
        (["init", "--colour"], "--colour"),
        (["harvest", "status"], "lightmeter init"),
        (["--project", "nowhere", "harvest", "status"], "nowhere is not a project"),
        (["harvest", "run", "flicker"], "flicker"),
    ],
)
def test_usage_error_is_a_sentence_with_exit_code_2(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("lightmeter: ")
    assert len(err.splitlines()) == 1


def test_error_is_printed_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["harvest", "status", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] in err


def test_group_without_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["harvest"]) == 2
    out, err = capsys.readouterr()
    assert "Commands" in out
    assert err == ""


def test_debug_option_shows_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        main(["harvest", "status", "--debug"])


def test_init_keeps_existing_settings(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path), "--quiet"]) == 0
    before = (tmp_path / "lightmeter.toml").read_bytes()
    assert main(["init", str(tmp_path), "--quiet"]) == 0
    assert (tmp_path / "lightmeter.toml").read_bytes() == before


def test_doctor_passes_in_new_project(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["catalogue"]["status"] == "ok"
    assert "folder" in checks["sources"]["result"]
    assert {"torch", "Java", "torchserve"} <= set(checks)


def test_doctor_lists_each_extra_and_what_it_gives() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"dev", "docs", "test"}
    assert all(extra_packages(extra) for extra in EXTRAS)
    assert extra_packages("timm") == {"timm"}


def test_missing_extra_is_listed_with_its_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightmeter.doctor._is_installed", lambda name: name != "timm")
    checks = {check["name"]: check for check in run_json("doctor")}
    assert checks["extra: timm"]["status"] == "missing"
    assert checks["extra: timm"]["action"] == "pip install 'lightmeter[timm]'"
    assert checks["extra: raw"]["status"] == "ok"


def test_doctor_reports_unusable_catalogue(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "lightmeter.toml").write_text("[catalogue]\nurl = 'sqlite:////nowhere/at/all.sqlite'\n")
    assert main(["doctor", "--json"]) == 1
    status = {check["name"]: check["status"] for check in json.loads(capsys.readouterr().out)}
    assert status["catalogue"] == "error"


def test_doctor_does_not_wait_for_a_catalogue(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightmeter.doctor._ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port, result in ((free_port(), "Cannot reach"), (silent.getsockname()[1], "no answer within 0.5 s")):
            url = f"postgresql+psycopg://user@127.0.0.1:{port}/photographs"
            (project / "lightmeter.toml").write_text(f"[catalogue]\nurl = '{url}'\n")
            checks = {check["name"]: check for check in run_json("doctor", code=1)}
            assert result in checks["catalogue"]["result"]


def test_garbage_is_collected_again_once_modules_are_imported() -> None:
    thresholds = gc.get_threshold()
    postpone_garbage_collection()
    assert gc.get_threshold()[0] > 5 * thresholds[0]
    gc.collect()
    assert gc.get_threshold() == thresholds


def test_package_runs_as_module(lightmeter: CommandRunner) -> None:
    assert lightmeter.process("--version").stdout.startswith("lightmeter ")


def test_text_that_looks_like_markup_is_printed_literally(capsys: pytest.CaptureFixture[str]) -> None:
    with console.use_console(console.Console()):
        console.get_console().emit({}, ["a[bold].jpg [/b]", console.table("[/t]", ("[/h]",), [("[/r]",)])])
        console.get_console().note("pip install 'lightmeter[audit]'")
    printed = capsys.readouterr()
    assert all(name in printed.out for name in ("a[bold].jpg [/b]", "[/t]", "[/h]", "[/r]"))
    assert "lightmeter[audit]" in printed.err


def test_ctrl_c_ends_any_command_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lightmeter.project.create_project", interrupt)
    assert main(["init", str(tmp_path)]) == 130
    assert "Interrupted." in capsys.readouterr().err
