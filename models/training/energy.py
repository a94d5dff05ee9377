"""Energy that a machine's processors take, from the counters of Linux's powercap (RAPL).

The counters cover whole processor packages and whatever else runs on them; most systems let only the administrator
read them (CVE-2020-8694). What cannot be read is not guessed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COUNTERS = Path("/sys/class/powercap")
_EVERY_S = 30.0  # a counter starts again at zero after about an hour at 70 W


class RaplMeter:
    """Adds up the energy of all processor packages.

    Args:
        counters: folder of the counters.
    """

    def __init__(self, counters: Path = COUNTERS) -> None:
        self._packages = sorted(folder for folder in counters.glob("intel-rapl:*") if _is_package(folder))
        self._last = self._read()
        self._microjoules = 0
        self._done = threading.Event()

    @property
    def joules(self) -> float | None:
        """What was taken since the meter was made; None where no counter can be read."""
        now = self._read()
        if not now or len(now) != len(self._last):
            return None
        for package, before, after in zip(self._packages, self._last, now, strict=True):
            wrapped = _number(package / "max_energy_range_uj") or 0
            self._microjoules += after - before if after >= before else after - before + wrapped
        self._last = now
        return self._microjoules / 1e6

    @contextmanager
    def running(self) -> Iterator["RaplMeter"]:
        """Look at the counters often enough while the block runs."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            yield self
        finally:
            self._done.set()
            watch.join()

    def _watch(self) -> None:
        while not self._done.wait(_EVERY_S):
            _ = self.joules

    def _read(self) -> list[int]:
        values = [_number(package / "energy_uj") for package in self._packages]
        return [value for value in values if value is not None]


def _is_package(folder: Path) -> bool:
    """Return whether a counter is a whole package's; parts of one are named ``intel-rapl:0:1``."""
    return folder.name.count(":") == 1


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
