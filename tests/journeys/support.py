"""Steps that the journeys share; each is one command line, as a person types it."""

import shlex
from pathlib import Path
from typing import Any

from tests.support import CommandResult, CommandRunner, jpeg


class Journey:
    """A person who types commands in a project.

    Args:
        runner: Runs each command in a process of its own.
        home: Folder in which the project is created.

    Attributes:
        runner: Runs each command in a process of its own.
        project: The project folder.
    """

    def __init__(self, runner: CommandRunner, home: Path) -> None:
        self.runner = runner
        self.home = home
        self.project = home / "project"
        self("init project", folder=home)

    def __call__(self, line: str, *, code: int = 0, folder: Path | None = None, **env: str) -> CommandResult:
        """Run a command line, without ``lightmeter``, in the project; fail unless it exits with ``code``."""
        result = self.runner.run(*shlex.split(line), folder=folder or self.project, env=env)
        assert result.code == code, f"{line}: {result.error}"
        assert "Traceback" not in result.error, line
        return result

    def document(self, line: str, *, code: int = 0, **env: str) -> Any:
        """Run a command line with ``--json`` and return its document."""
        return self(f"{line} --json", code=code, **env).document


def write_photographs(folder: Path, count: int) -> Path:
    """Write photographs of ``count`` photographers, three each, with EXIF of three exposures."""
    for photographer in range(count):
        parent = folder / f"photographer-{photographer}"
        parent.mkdir(parents=True)
        for number in range(3):
            iso, seconds = ((100, 0.002), (400, 0.008), (1600, 0.03))[number]
            settings = {0x829D: 2.8, 0x829A: seconds, 0x8827: iso, 0x920A: 50.0}
            (parent / f"{number}.jpg").write_bytes(jpeg(3 * photographer + number, settings=settings))
    return folder
