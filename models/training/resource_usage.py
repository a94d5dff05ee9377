"""Time, memory and energy of a training.

Energy is read from the counters of Linux powercap (RAPL). They count whole processor packages and all that runs on
them; most systems let only the administrator read them (CVE-2020-8694). Energy that cannot be read is not estimated.
"""

import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

COUNTERS = Path("/sys/class/powercap")
_INTERVAL_S = 30.0  # a counter wraps to zero after about an hour at 70 W


class RaplMeter:
    """Sums up the energy of all processor packages.

    Args:
        counters: Directory of the counters.
    """

    def __init__(self, counters: Path = COUNTERS) -> None:
        folders = sorted(counters.glob("intel-rapl:*"))
        self._packages = [folder for folder in folders if folder.name.count(":") == 1]  # their parts have two colons
        self._ranges = self._read("max_energy_range_uj")
        self._last = self._read("energy_uj")
        self._microjoules = 0
        self._done = threading.Event()

    @property
    def joules(self) -> float | None:
        """Energy since the meter was created; None if a counter cannot be read."""
        values = self._read("energy_uj")
        if not (values and self._last and self._ranges):
            return None
        for before, after, counter_range in zip(self._last, values, self._ranges, strict=True):
            self._microjoules += after - before + (counter_range if after < before else 0)
        self._last = values
        return self._microjoules / 1e6

    @contextmanager
    def running(self) -> Iterator[None]:
        """Read the counters often enough while the block runs."""
        thread = threading.Thread(target=self._poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _poll(self) -> None:
        while not self._done.wait(_INTERVAL_S):
            _ = self.joules

    def _read(self, name: str) -> list[int]:
        """Return a number of each package; an empty list if one of them cannot be read."""
        try:
            return [int((package / name).read_text()) for package in self._packages]
        except (OSError, ValueError):
            return []


class ResourceUsage:
    """Time, memory and energy of a training."""

    def __init__(self) -> None:
        self._meter = RaplMeter()
        self._seconds = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure while the block runs."""
        start = time.perf_counter()
        with self._meter.running():
            yield
        self._seconds = time.perf_counter() - start

    def facts(self, earlier_seconds: float, device: str) -> dict[str, Any]:
        """Return the facts for ``model.toml``; ``energy_joules`` only if it could be measured.

        Args:
            earlier_seconds: Duration of the training before it was interrupted.
            device: Device of the training.
        """
        facts: dict[str, Any] = {
            "seconds": round(self._seconds + earlier_seconds, 3),
            "peak_memory_mb": round(_peak_memory_mb(device)),
        }
        joules = self._meter.joules
        if device.startswith("cuda"):
            facts["energy"] = "not measured: the processor counters do not include the GPU"
        elif earlier_seconds:
            facts["energy"] = "not measured: training was interrupted"
        elif joules is None:
            facts["energy"] = "not measured: not available on this machine"
        else:
            facts["energy"] = "of the whole processor packages, including other programs"
            facts["energy_joules"] = round(joules, 1)
        return facts


def describe_device(device: str) -> str:
    """Return the readable name of a device."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.get_num_threads()} threads)"


def _peak_memory_mb(device: str) -> float:
    """Return the peak memory in megabytes: of the GPU if it is used, else of the process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
