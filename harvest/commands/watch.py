"""``lightmeter harvest watch``: harvest a folder again whenever its files change."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from lightmeter.errors import UsageError
from lightmeter.project import Project, find_project
from lightmeter.terminal import console
from lightmeter.terminal.commands import CommandGroup
from lightmeter.text.numbers import counted

_MAX_WAIT = 10
"""Scans after which a folder is harvested although its files still change."""

app = CommandGroup()


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="Folder with photographs.")],
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.05, help="Seconds between two looks at the folder.")
    ] = 5.0,
    options: Annotated[
        list[str] | None, typer.Argument(metavar="-- OPTION...", help="Options of 'harvest run folder', behind '--'.")
    ] = None,
) -> None:
    """Harvest a folder now and whenever files in it change; Ctrl-C stops it. It also works on network drives."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.")
    project, output = find_project(), console.get_console()
    output.note(f"Watching {folder} (Ctrl-C stops it).")
    results: list[dict[str, Any]] = []
    with suppress(KeyboardInterrupt):
        for _ in changes(folder, interval_s):
            result = _harvest(project, folder, options or [])
            results.append(result)
            output.note(_summary(result))
    fetched = sum(result.get("fetched", 0) for result in results)
    output.emit(
        {"runs": results},
        f"Stopped watching after {counted(len(results), 'run')}; {counted(fetched, 'photograph')} fetched.",
    )


def changes(folder: Path, interval_s: float) -> Iterator[None]:
    """Yield at once and after each change of the files, once they have been the same for one interval.

    Args:
        folder: The folder.
        interval_s: Time between two looks at it, in seconds.
    """
    harvested = previous = _files(folder)  # before the harvest, during which others may arrive
    yield
    waited = 0
    while True:
        time.sleep(interval_s)
        current = _files(folder)
        waited = waited + 1 if current != harvested else 0
        if waited and (current == previous or waited >= _MAX_WAIT):
            yield
            harvested, waited = current, 0
        previous = current


def _files(folder: Path) -> Mapping[Path, tuple[int, int]]:
    """Return size and modification time of each file in a folder and its subfolders."""
    from lightmeter.errors import LightmeterError
    from lightmeter.harvest.sources.base import Unreadable
    from lightmeter.harvest.sources.folder.walk import walk

    files: dict[Path, tuple[int, int]] = {}
    with suppress(LightmeterError):  # the folder is away, such as an unplugged drive
        for walked in walk(folder, recursive=True, is_wanted=lambda _: True):
            for path in () if isinstance(walked, Unreadable) else map(walked.path.joinpath, walked.names):
                with suppress(OSError):
                    status = path.stat()
                    files[path] = (status.st_size, status.st_mtime_ns)
    return files


def _harvest(project: Project, folder: Path, options: list[str]) -> dict[str, Any]:
    """Harvest a folder in a process of its own, because a crawl runs once per process.

    Raises:
        KeyboardInterrupt: Ctrl-C; the run is stopped and can be resumed.
        UsageError: The options are incorrect.
    """
    command = [sys.executable, "-m", "lightmeter", "--project", str(project.root), "--json", "--quiet"]
    command += ["harvest", "run", "folder", *options, "--", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:  # one Ctrl-C is enough
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.communicate()
            raise
    document: dict[str, Any] = json.loads(output or b"{}")
    if process.returncode == UsageError.exit_code:
        raise UsageError(str(document.get("error", "The options are incorrect.")))
    return document


def _summary(document: Mapping[str, Any]) -> str:
    counts = {name: document.get(name, 0) for name in ("fetched", "updated", "failed", "existing")}
    return f"Run {document.get('run')}: " + ", ".join(f"{number} {name}" for name, number in counts.items() if number)
