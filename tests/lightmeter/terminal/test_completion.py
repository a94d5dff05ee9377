"""Tab completion, as the scripts of the shells ask for it."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightmeter.cli import main


def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str, line: str) -> list[str]:
    monkeypatch.setenv("_LIGHTMETER_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    monkeypatch.setenv("_TYPER_COMPLETE_WORD_TO_COMPLETE", line.rpartition(" ")[2])
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_and_options_of_plugins_are_completed(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = " ".join(complete(monkeypatch, capsys, shell, "lightmeter harvest run web"))
    options = " ".join(complete(monkeypatch, capsys, shell, "lightmeter harvest run folder --rec"))
    assert "website" in commands
    assert "--recursive" in options


def test_names_of_the_project_are_completed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "runs" / "patches-v1").mkdir(parents=True)
    (project / "datasets" / "film-v1").mkdir(parents=True)
    (project / "datasets" / "film-v1" / "dataset.toml").write_text("")
    assert complete(monkeypatch, capsys, "bash", "lightmeter models evaluate pat") == ["patches-v1"]
    assert complete(monkeypatch, capsys, "bash", "lightmeter models train patches --data film") == ["film-v1"]
    assert complete(monkeypatch, capsys, "bash", "lightmeter models compare pat") == ["patches-v1"]
    assert "lightmeter-attention" in complete(monkeypatch, capsys, "bash", "lightmeter models train lightm")
    assert complete(monkeypatch, capsys, "bash", "lightmeter labels split a --target shut") == ["shutter"]
    monkeypatch.chdir("/")
    for shell in ("bash", "zsh", "fish"):
        names = complete(monkeypatch, capsys, shell, f"lightmeter --project {project} labels verify fi")
        assert "film-v1" in " ".join(names)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_key_completes_in_a_real_shell(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which(shell) or pytest.skip(f"{shell} is not installed")
    main_end, shell_end = pty.openpty()
    with subprocess.Popen(
        [program, "-i"],
        stdin=shell_end,
        stdout=shell_end,
        stderr=shell_end,
        env=installed_completion(shell, tmp_path, monkeypatch),
        start_new_session=True,
    ) as process:
        os.close(shell_end)
        try:
            typed(main_end, "echo rea''dy\r", "ready")
            typed(main_end, "lightmeter harvest run folder --recu\t", "--recursive")  # at the first tab
        finally:
            process.kill()
            os.close(main_end)


def test_fish_completes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("fish") or pytest.skip("fish is not installed")
    environment = installed_completion("fish", tmp_path, monkeypatch)
    command = [program, "-c", 'complete -C "lightmeter harvest run folder --recu"']
    assert subprocess.check_output(command, env=environment, text=True).startswith("--recursive\t")


def installed_completion(shell: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Install completion in a new home, and return the environment of a shell there."""
    monkeypatch.setenv("HOME", str(home))
    assert main(["--install-completion", shell, "--quiet"]) == 0
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return {"HOME": str(home), "PATH": path, "TERM": "xterm", "LC_ALL": "C.UTF-8"}


def typed(terminal: int, keys: str, expected: str) -> str:
    """Type keys into a terminal, and return what it shows until a text has appeared."""
    os.write(terminal, keys.encode())
    output, deadline = "", time.monotonic() + 30
    while expected not in output:
        assert time.monotonic() < deadline, output
        if select.select([terminal], [], [], 0.1)[0]:
            output += os.read(terminal, 65536).decode("utf-8", "replace")
    return output


def test_unknown_command_completes_without_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_LIGHTMETER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "lightmeter harvst run ")
    monkeypatch.setenv("COMP_CWORD", "3")
    with pytest.raises(SystemExit):
        main([])
    assert not capsys.readouterr().err


def test_script_is_shown_or_installed_for_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("subprocess.run", lambda *args, **options: None)  # Typer asks PowerShell where its profile is
    for shell in ("bash", "zsh", "fish"):
        assert main(["--show-completion", shell]) == 0
        assert "_LIGHTMETER_COMPLETE" in capsys.readouterr().out
        assert main(["--install-completion", shell]) == 0
    assert ".bash_completions/lightmeter.sh" in (tmp_path / ".bashrc").read_text()
    assert (tmp_path / ".config" / "fish" / "completions" / "lightmeter.fish").is_file()
    assert (tmp_path / ".zfunc" / "_lightmeter").is_file()
    assert main(["--show-completion", "bsh"]) == 2
    assert "did you mean bash" in capsys.readouterr().err
