"""What a training took: time, memory, energy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightmeter.models.training import devices
from lightmeter.models.training.energy import RaplMeter


class ResourceUsage:
    """Time, memory and energy of a training."""

    def __init__(self) -> None:
        self._meter = RaplMeter()
        self._seconds = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure while the block runs."""
        begun = time.perf_counter()
        with self._meter.running():
            yield
        self._seconds = time.perf_counter() - begun

    def told(self, earlier_seconds: float, device: str) -> dict[str, Any]:
        """Return the facts for ``model.toml``; energy is there only where it could be measured.

        Args:
            earlier_seconds: what the training had taken before it was interrupted.
            device: where it was trained.
        """
        facts: dict[str, Any] = {
            "seconds": round(self._seconds + earlier_seconds, 1),
            "peak_memory_mb": round(devices.peak_memory_mb(device)),
        }
        joules = self._meter.joules
        if device.startswith("cuda"):
            facts["energy"] = "not measured: the processors' counters do not see the GPU"
        elif earlier_seconds:
            facts["energy"] = "not measured: training was interrupted"
        elif joules is None:
            facts["energy"] = "not measured: this machine does not let it be read"
        else:
            facts["energy"] = "of the whole processor packages, with whatever else ran on them"
            facts["energy_joules"] = round(joules, 1)
        return facts
