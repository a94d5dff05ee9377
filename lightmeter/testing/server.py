"""Photographs for tests, a folder served on loopback, and commands in a test project."""

import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightmeter.web import LocalServer

_LOOPBACK = {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true"}


@dataclass(frozen=True)
class ServedFolder:
    """A folder served on loopback.

    Attributes:
        url: Base URL, ``http://127.0.0.1:PORT``.
        requests: Number of requests of each path.
    """

    url: str
    requests: Counter[str] = field(default_factory=Counter)


ACTIVE: list[ServedFolder] = []
"""The folders that are served at the moment."""


@contextmanager
def served(folder: Path) -> Iterator[ServedFolder]:
    """Serve a folder's files on loopback while the block runs.

    Example:
        >>> import tempfile, urllib.request
        >>> with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server:
        ...     _ = (Path(folder) / "1.jpg").write_bytes(photograph(1))
        ...     data = urllib.request.urlopen(f"{server.url}/1.jpg").read()
        ...     server.requests["/1.jpg"], data == photograph(1)
        (1, True)
    """
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles
    from starlette.types import Receive, Scope, Send

    requests: Counter[str] = Counter()
    files = Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        requests[scope["path"]] += 1
        await files(scope, receive, send)

    with LocalServer(app) as server:
        serving = ServedFolder(server.url, requests)
        ACTIVE.append(serving)
        try:
            yield serving
        finally:
            ACTIVE.remove(serving)


def photograph(
    seed: int = 0,
    *,
    size: tuple[int, int] = (64, 48),
    f_number: float = 2.8,
    exposure_time_s: float = 0.008,
    iso: int = 200,
    focal_length_mm: float = 50.0,
    tags: Mapping[int, object] | None = None,
) -> bytes:
    """Return a small JPEG of noise with EXIF.

    Args:
        seed: Another seed gives another image.
        size: Width and height in pixels.
        f_number: F-number in EXIF.
        exposure_time_s: Exposure time in EXIF, in seconds.
        iso: ISO speed in EXIF.
        focal_length_mm: Focal length in EXIF, in millimetres.
        tags: Further tags of the Exif IFD, by number.

    Example:
        >>> from lightmeter.harvest.exif.reader import read_exif
        >>> read_exif(photograph(f_number=8.0)).values.f_number
        8.0
    """
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Lightmeter", "Test camera"
    settings: dict[int, object] = {0x829D: f_number, 0x829A: exposure_time_s, 0x8827: iso, 0x920A: focal_length_mm}
    exif.get_ifd(0x8769).update(settings | dict(tags or {}))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    return file.getvalue()


def write_photographs(folder: Path, photographs: Mapping[str, bytes]) -> Path:
    """Write photographs by file name to a new folder, and return the folder."""
    folder.mkdir()
    for name, data in photographs.items():
        (folder / name).write_bytes(data)
    return folder


def create_project(folder: Path, settings: str = "") -> Path:
    """Create a project with ``lightmeter init`` and append settings, in TOML, to its lightmeter.toml."""
    run_lightmeter(folder.parent, "init", folder)
    with (folder / "lightmeter.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{settings}\n")
    return folder


def run_lightmeter(folder: Path, *args: object, code: int = 0, timeout_s: float = 300) -> Any:
    """Run ``lightmeter ARGS --json`` in a folder and return its document.

    ``harvest run`` starts a process, because Twisted's reactor runs once per process; it may connect to loopback
    addresses, where `served` is. Other commands run in this process.

    Args:
        folder: Working directory.
        *args: Arguments of the command.
        code: Expected exit code.
        timeout_s: Maximum time of ``harvest run`` in seconds.

    Raises:
        AssertionError: The command did not exit with ``code`` in time; the message is its standard error.
    """
    command = [*map(str, args), "--json"]
    is_run = args[:2] == ("harvest", "run")
    exit_code, output, error = _run_process(folder, command, timeout_s) if is_run else _run_here(folder, command)
    assert exit_code == code, (
        f"'lightmeter {' '.join(command)}' ended with exit code {exit_code}, expected {code}: {error.strip()}"
    )
    return json.loads(output)


def _run_process(folder: Path, command: list[str], timeout_s: float) -> tuple[int, str, str]:
    try:
        process = subprocess.run(
            [sys.executable, "-m", "lightmeter", *command],
            cwd=folder,
            env=os.environ | _LOOPBACK,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"'lightmeter {' '.join(command)}' did not end within {timeout_s:g} s") from error
    return process.returncode, process.stdout, process.stderr


def _run_here(folder: Path, command: list[str]) -> tuple[int, str, str]:
    from lightmeter.cli import main

    with chdir(folder), redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as error:
        return main(command), output.getvalue(), error.getvalue()
