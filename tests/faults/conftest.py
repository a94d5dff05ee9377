"""The trials: a small project for all of them, how many each test makes, and the table of their outcomes."""

import math
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from tests.conftest import STRICT
from tests.faults.world import World, build_world
from tests.support import ROOT, CommandRunner

DOCUMENT = ROOT / "docs" / "reliability.md"
START, END = "<!-- trials -->\n", "<!-- end of trials -->\n"
KEY, LONG = "trial", "long"
Item = TypeVar("Item")
SECONDS = 22
"""Time of a test of the long form, so that all of them take 20 minutes on any machine; the marker may name another."""

_TOTALS: dict[str, Counter[str]] = {}


class OverLimit(AssertionError):
    """A command took more time or memory than it may."""


class Trials:
    """The trials of one test: each may fail, and the test fails at the end if one did.

    Attributes:
        long: Share of the long form, ``make trials``; 0 for the short form.
        rng: Random numbers, of another seed each time; of the same seed before a merge.
        outcomes: Number of trials that held, went over a limit or lost something.
        failures: What failed, by trial.
    """

    def __init__(self, kind: str, *, long: float, seed: str, seconds: float) -> None:
        self.kind, self.long = kind, long
        self._deadline = time.monotonic() + seconds
        self.rng = random.Random(seed if STRICT or long else f"{seed} {time.time_ns()}")
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []

    def count(self, short: int, long: int) -> int:
        """Return how many trials to make."""
        return math.ceil(long * self.long) if self.long else short

    def numbers(self, short: int, long: int) -> Iterator[int]:
        """Yield the numbers of the trials to make, as far as there is time for them."""
        return self.in_time(range(self.count(short, long)))

    def in_time(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items; in the long form as many as there is time for, at least one."""
        for number, item in enumerate(items):
            if number and self.long and time.monotonic() > self._deadline:
                return
            yield item

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        """Make a trial, which holds unless the block raises an `AssertionError`."""
        try:
            yield
            self.outcomes["held"] += 1
        except AssertionError as error:
            self.outcomes["over limit" if isinstance(error, OverLimit) else "lost"] += 1
            self.failures.append(f"{name}: {error}")


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    """The trials of a test; the marker ``trials`` names their kind."""
    marker = request.node.get_closest_marker("trials")
    trials = Trials(
        marker.args[0],
        long=request.config.getoption("--long"),
        seed=request.node.name,
        seconds=marker.kwargs.get("seconds", SECONDS),
    )
    yield trials
    request.node.user_properties += [(KEY, (trials.kind, dict(trials.outcomes))), (LONG, trials.long)]
    if trials.failures:
        pytest.fail("\n".join(trials.failures[:50]), pytrace=False)


@pytest.fixture(scope="session")
def built_world(tmp_path_factory: pytest.TempPathFactory, all_commands: CommandRunner) -> World:
    """A project with everything that commands read."""
    return build_world(tmp_path_factory.mktemp("world") / "home", all_commands)


@pytest.fixture
def world(built_world: World) -> World:
    """A project with everything that commands read, as it was built."""
    built_world.restore()
    return built_world


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the table of the long form after each test, so that a run that is ended early has one too."""
    outcomes = [value for key, value in report.user_properties if key == KEY]
    if report.when != "teardown" or not outcomes or "PYTEST_XDIST_WORKER" in os.environ:
        return
    for kind, counts in outcomes:
        _TOTALS.setdefault(kind, Counter()).update(counts)
    before, start, rest = DOCUMENT.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if end and any(value for key, value in report.user_properties if key == LONG):
        DOCUMENT.write_text(f"{before}{start}{_table()}{end}{after}", encoding="utf-8")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of the long form."""
    if config.getoption("--long"):
        terminalreporter.write_line(_table())


def _table() -> str:
    """Return the outcomes of all trials as a table in Markdown."""
    rows = [
        (kind, sum(count.values()), *(count[name] for name in ("held", "over limit", "lost")))
        for kind, count in _TOTALS.items()
    ]
    return "".join(
        f"| {' | '.join(map(str, row))} |\n"
        for row in [("trial", "number", "held", "over limit", "lost"), ("---", *["---:"] * 4), *sorted(rows)]
    )
