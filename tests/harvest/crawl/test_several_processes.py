"""Several processes that harvest into one project at once; ``benchmarks/killed_processes.py`` is the long form."""

from pathlib import Path

import pytest

from tests.support import CommandRunner

killed_processes = pytest.importorskip("benchmarks.killed_processes")


def test_killed_processes_lose_and_repeat_nothing(tmp_path: Path, lightmeter: CommandRunner) -> None:
    killed_processes.write_photographs(tmp_path / "photographs", 40)
    report = killed_processes.kill_processes(tmp_path, processes=2, kills=1, commands=lightmeter, every_s=0.1)
    assert report["faults"] == []
    assert report["ends"]["killed"] == 1
