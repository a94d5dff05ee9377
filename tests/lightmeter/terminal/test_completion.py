"""Tab completion, as the scripts of the shells ask for it."""

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
