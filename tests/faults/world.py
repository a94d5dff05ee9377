"""A small project with everything that commands read, which each trial copies; and what a trial must leave as it was."""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightmeter.files import sha256_of
from tests.support import CommandResult, CommandRunner, create_project, jpeg

TRAIN = ("quality-features", "--set", "iterations=20", "--device", "cpu")
_VOLATILE = ("catalogue.sqlite", ".lightmeter/logs", ".lightmeter/rate-limits", "store/.incoming")
_KEYS = frozenset({"id", "process", "query", "options", "cursor", "counts", "attempts"})


@dataclass(frozen=True)
class World:
    """A folder with ``project`` (the working directory), ``photographs``, and ``outside`` (the home folder).

    Attributes:
        home: The folder.
        runner: Runs the commands.
    """

    home: Path
    runner: CommandRunner

    @property
    def project(self) -> Path:
        return self.home / "project"

    @property
    def outside(self) -> Path:
        return self.home / "outside"

    def keep(self) -> None:
        """Keep the world as it is now, for `restore`."""
        shutil.copytree(self.home, self._kept, symlinks=True)

    def restore(self) -> None:
        """Make the world again what it was, at the same path, because many files and rows hold absolute paths."""
        shutil.rmtree(self.home)
        shutil.copytree(self._kept, self.home, symlinks=True)

    @property
    def _kept(self) -> Path:
        return self.home.with_name("kept")

    def run(self, *args: object, env: Mapping[str, str] | None = None, **options: Any) -> CommandResult:
        """Run a command in the project; the further options are fields of `ForkRequest`."""
        variables = {
            "HOME": str(self.outside),
            "TMPDIR": str(self.home / "temporary"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "LIGHTMETER_INSPECT__WORKERS": "1",
            "LIGHTMETER_INSPECT__LATER": '["faces"]',
            "LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true",
        }
        return self.runner.run(*args, env=variables | dict(env or {}), folder=self.project, **options)


def build_world(home: Path, runner: CommandRunner) -> World:
    """Create a project with 24 photographs, labels, a data set, a run and its archive, by the commands of users."""
    world = World(home, runner)
    for folder in ("outside", "temporary", "cache"):
        (home / folder).mkdir(parents=True)
    (home / "outside" / ".profile").write_text("# the user's own file\n")
    (home / "outside" / "secret.jpg").write_bytes(jpeg(1000))
    for number in range(24):
        file = home / "photographs" / f"person {number % 8}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        exposure = {0x829A: 1 / 1000 if number % 2 else 1 / 15, 0x829D: 2.8, 0x8827: 100 * 2 ** (number % 6)}
        file.write_bytes(jpeg(number, settings=exposure))
    create_project(world.project)
    for args in (
        ("harvest", "run", "folder", home / "photographs", "--owner-from-folders"),
        ("labels", "apply", "shutter-binary", "iso-binary"),
        ("labels", "split", "one", "--target", "shutter-binary", "--ratios", "50/25/25"),
        ("models", "train", *TRAIN, "--data", "one", "--name", "tiny"),
        ("serve", "archive", "tiny"),
    ):
        result = world.run(*args)
        assert result.code == 0, result.error
    world.keep()
    return world


def files_below(folder: Path) -> dict[str, str]:
    """Return what is in a folder: by relative path the hash of a file, the target of a link, or the kind."""
    content = {}
    for path in _walk(folder):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            content[name] = f"link to {path.readlink()}"
        elif path.is_file():
            content[name] = sha256_of(path)
        elif not path.is_dir():
            content[name] = "special file"
    return content


def state_of(project: Path, ignored: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what a project holds, without what differs from run to run.

    Args:
        project: Project folder.
        ignored: Ends of the paths of files that differ from run to run.
    """
    files = files_below(project)
    content: dict[str, Any] = {
        path: value
        for path, value in files.items()
        if not path.startswith(_VOLATILE) and not path.endswith((".lock", *ignored))
    }
    return content | tables_of(project / "catalogue.sqlite")


def tables_of(catalogue: Path) -> dict[str, set[str]]:
    """Return the rows of each table of a SQLite catalogue, without ids, processes and times; runs are left out."""
    connection = sqlite3.connect(catalogue)
    connection.row_factory = sqlite3.Row
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            f"table {name}": {
                str({key: row[key] for key in row.keys() if not _varies(key)})  # noqa: SIM118 - a Row has no items
                for row in connection.execute(f"SELECT * FROM {name}")
            }
            for name in names
            if name != "runs" and not name.startswith("sqlite_")
        }
    finally:
        connection.close()


def leftovers(world: World) -> list[str]:
    """Return the temporary and partial files in a world."""
    files = [str(path.relative_to(world.home)) for path in _walk(world.home) if path.name.startswith(".tmp-")]
    incoming = world.project / "store" / ".incoming"
    files += [str(path.relative_to(world.home)) for path in _walk(incoming)]
    temporary = [path for path in (world.home / "temporary").iterdir() if not path.name.startswith("pymp-")]
    files += map(str, temporary)  # "pymp" is Python's own, which a killed process leaves
    files += [str(path) for path in _walk(world.project) if path.name.endswith(".partial")]
    return files


def _varies(column: str) -> bool:
    return column in _KEYS or column.endswith(("_id", "_at"))


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        yield from (Path(parent) / name for name in (*folders, *names))
