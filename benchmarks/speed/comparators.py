"""Programs that Lightmeter is compared with, each in a virtual environment of its own.

They are installed when a benchmark first needs them, into ``lightmeter/benchmarks`` of the user's cache folder, and are
never dependencies of Lightmeter.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "cleanvision": ("cleanvision==0.3.7",),
    "gallery-dl": ("gallery-dl==1.32.18",),
    "img2dataset": ("img2dataset==1.47.0",),
}
"""Requirements by the name of the environment."""

_ROOT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightmeter/benchmarks"
_INSTALL_TIMEOUT_S = 600


def program(name: str, executable: str = "") -> Path:
    """Return an executable of a comparator, by default the one of its name.

    Raises:
        FileNotFoundError: It is not installed.
    """
    path = _ROOT / name / "bin" / (executable or name)
    if not path.exists():
        raise FileNotFoundError(f"{name} is not installed")
    return path


def install(name: str) -> None:
    """Install a comparator if it is missing.

    Raises:
        RuntimeError: The installation failed.
    """
    folder = _ROOT / name
    if (folder / "installed").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {', '.join(PACKAGES[name])} into {folder}", flush=True)
    commands = (
        [sys.executable, "-m", "venv", str(folder)],
        [f"{folder}/bin/pip", "install", "--quiet", *PACKAGES[name]],
    )
    try:
        for command in commands:
            subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT_S, capture_output=True, text=True)
    except subprocess.SubprocessError as error:
        raise RuntimeError(f"{name} could not be installed: {getattr(error, 'stderr', None) or error}") from error
    (folder / "installed").touch()


def versions(name: str) -> str:
    """Return the requirements that are installed in an environment, for the page."""
    command = [str(program(name, "pip")), "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL))
    packages = {package["name"].lower().replace("_", "-"): package["version"] for package in listed}
    wanted = [requirement.partition("==")[0] for requirement in PACKAGES[name]]
    return ", ".join(f"{package} {packages.get(package, '?')}" for package in wanted)
