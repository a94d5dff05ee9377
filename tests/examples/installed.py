"""The example plugins as installed packages, in a process that was forked from one that has imported Lightmeter.

Each function runs in such a process (see `tests.command_server`); its first argument is the folder of the packages.
"""

import os
import sys
from pathlib import Path

import pytest

from lightmeter import cli
from lightmeter.testing import server
from tests.support import CommandRunner


class ForkedRuns:
    """A plugin of pytest: ``harvest run`` of the test kits is forked; each process would import everything anew."""

    def __init__(self) -> None:
        self._runner = CommandRunner()
        server._run_process = self._run

    def _run(self, folder: Path, command: list[str], timeout_s: float) -> tuple[int, str, str]:
        result = self._runner.run(*command, folder=folder, env=server._LOOPBACK, timeout_s=int(timeout_s))
        return result.code, result.output, result.error

    def pytest_unconfigure(self) -> None:
        self._runner.close()


def run_tests(arguments: list[str]) -> int:
    """Run pytest."""
    _install(arguments[0])
    return pytest.main(arguments[1:], [ForkedRuns()])


def run_command(arguments: list[str]) -> int:
    """Run a command of Lightmeter."""
    _install(arguments[0])
    return cli.main(arguments[1:])


def _install(folder: str) -> None:
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join((folder, os.environ.get("PYTHONPATH", "")))
