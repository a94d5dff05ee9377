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


WRITTEN = ("docs/performance.md", "benchmarks/speed/results.json")  # by the benchmarks themselves


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
    """Return the commit of the checkout; with ``-dirty`` if other files are changed than the results."""
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ":/", *(f":(top,exclude){file}" for file in WRITTEN)
    )
    return _git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "") or "unknown"


def _git(*arguments: str) -> str:
    """Return the output of git; empty if it fails."""
    command = ["git", *arguments]
    try:
        return subprocess.check_output(command, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def installed(package: str) -> str:
    """Return the version of a package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
