"""Describe the machine and the versions that a benchmark ran with."""

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "torch", "openvino", "onnxruntime", "numpy", "pillow", "opencv-python-headless", "simplejpeg", "scrapy",
    "torchserve", "litserve",
)  # fmt: skip


def describe() -> dict[str, str]:
    """Return machine, load, commit and versions as text."""
    return {
        "machine": f"{cpu()}, {os.cpu_count()} cores, {memory_gb():.0f} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "commit": commit(),
        "versions": ", ".join(f"{name} {version}" for name in PACKAGES if (version := installed(name))),
    }


def cpu() -> str:
    """Return the name of the processor."""
    try:
        match = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine()


def memory_gb() -> float:
    """Return the size of the memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def commit() -> str:
    """Return the commit of the checkout; with ``-dirty`` if it is changed."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.check_output(command, cwd=Path(__file__).parent, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def installed(package: str) -> str:
    """Return the version of a package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
