"""Measure the contenders of a benchmark in turn, round by round, and record minimum, median and maximum.

    python -m benchmarks.speed.measurement MODULE:ATTRIBUTE RESULT.json --rounds 5 --seconds 120 [--earlier ROWS.json]

`bench` runs this for each benchmark in a process of its own, so that neither an error, a hang nor a setting
of threads of one can affect another. The result is written after every round: what was measured before an error or the
time limit is kept.
"""

import argparse
import importlib
import json
import os
import signal
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROUNDS = 5


@dataclass(frozen=True)
class Contender:
    """A row of the table: a program or function that is measured.

    Attributes:
        name: First cell of the row.
        measure: Function that measures once and returns the values by column. It should take 1 to 20 s, enough to
            make its start negligible or to be what a user waits for.
    """

    name: str
    measure: Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Goal:
    """A limit of the ratio of two rows, or of a value.

    Attributes:
        text: What is compared, for example "speed relative to CleanVision".
        row: Name of the contender, the numerator.
        limits: Limit by column.
        relative_to: Name of the contender that is the denominator; None compares the value itself.
        at_most: Whether the limits are upper limits.
    """

    text: str
    row: str
    limits: Mapping[str, float]
    relative_to: str | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Benchmark:
    """A section of docs/performance.md: a table with one row per contender.

    Attributes:
        title: Heading of the section.
        text: What is measured and how, in Markdown.
        contenders: Function from a temporary folder to a context that yields the contenders. Files are made, servers
            started and caches warmed in it; this time is not measured.
        goals: Goals, in the order of the page.
        digits: Decimal places of the values.
        notes: What explains the result, in Markdown, below the goals.
    """

    title: str
    text: str
    contenders: Callable[[Path], AbstractContextManager[Sequence[Contender]]]
    goals: Sequence[Goal] = ()
    digits: int = 1
    notes: str = ""


@dataclass
class Row:
    """What was measured of a contender.

    Attributes:
        values: Values by column, one per round.
        error: Why the contender was not measured (further); empty if it was.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    error: str = ""

    @property
    def rounds(self) -> int:
        """The number of rounds in which every column was measured."""
        return min(map(len, self.values.values()), default=0)

    def median(self, column: str) -> float | None:
        """Return the median of a column; None if it was never measured."""
        return statistics.median(self.values[column]) if self.values.get(column) else None


def measure(
    contenders: Sequence[Contender],
    rounds: int,
    seconds: float,
    save: Callable[[dict[str, Row]], None],
    earlier: Mapping[str, Row] | None = None,
) -> None:
    """Measure contenders in turn until every one was measured ``rounds`` times or the time is up.

    In turn, so that other load on the machine affects all of them. A contender that fails is not measured again.

    Args:
        contenders: Rows of the table.
        rounds: Measurements of each contender, with the earlier ones.
        seconds: No round is started that would, like the longest before, end later than this.
        save: Called with the rows after every measurement.
        earlier: Rows of a measurement that was not completed.
    """
    before = earlier or {}
    rows = {contender.name: Row(dict(before.get(contender.name, Row()).values)) for contender in contenders}
    start, longest = time.monotonic(), 0.0
    for number in range(min((row.rounds for row in rows.values()), default=0), rounds):
        round_start = time.monotonic()
        if round_start - start + longest > seconds:
            break
        for contender in contenders:
            if rows[contender.name].rounds <= number:
                measure_once(contender, rows[contender.name])
                save(rows)
        longest = max(longest, time.monotonic() - round_start)


@contextmanager
def time_limit(step: str, seconds: float = 60.0) -> Iterator[None]:
    """Let a step of the preparation, in the main thread, take no longer than some seconds.

    Args:
        step: What it does, for the log and the error.
        seconds: The limit.

    Raises:
        TimeoutError: It took longer.
    """

    def expire(*_: object) -> None:
        raise TimeoutError(f"{step} took longer than {seconds:g} s")

    start = time.monotonic()
    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
        print(f"{time.monotonic() - start:6.1f} s  {step}", flush=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def measure_once(contender: Contender, row: Row) -> None:
    """Add one measurement, or the error that it raised, to a row."""
    if row.error:
        return
    try:
        for column, value in contender.measure().items():
            row.values.setdefault(column, []).append(value)
    except Exception as error:  # noqa: BLE001 - reported in the table
        traceback.print_exc()
        row.error = f"{type(error).__name__}: {error}".splitlines()[0][:200]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", help="MODULE:ATTRIBUTE")
    parser.add_argument("result", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--earlier", type=Path, help="JSON file of the rows to complete")
    options = parser.parse_args()
    module, attribute = options.benchmark.split(":")
    benchmark: Benchmark = getattr(importlib.import_module(module), attribute)
    head = {"title": benchmark.title, "text": benchmark.text, "digits": benchmark.digits, "notes": benchmark.notes}
    head["goals"] = [asdict(goal) for goal in benchmark.goals]

    content = json.loads(options.earlier.read_text()) if options.earlier else {}
    earlier = {name: Row(**row) for name, row in content.items()}

    def save(rows: dict[str, Row]) -> None:
        content = {**head, "rows": {name: asdict(row) for name, row in rows.items()}}
        partial = options.result.with_suffix(".partial")
        partial.write_text(json.dumps(content))
        partial.replace(options.result)

    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")  # nothing computed before is used
        with benchmark.contenders(Path(folder)) as contenders:
            measure(contenders, options.rounds, options.seconds, save, earlier)


if __name__ == "__main__":
    main()
