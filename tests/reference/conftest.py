"""Comparisons with reference libraries; ``pytest tests/reference --comparisons`` writes their table to the document."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from tests.support import ROOT

DOCUMENT = ROOT / "docs" / "reliability.md"
START, END = "<!-- comparisons -->\n", "<!-- end of comparisons -->\n"
KEY = "comparison"

Compare = Callable[..., None]


@pytest.fixture
def compare(request: pytest.FixtureRequest) -> Compare:
    """Check that results agree with those of a library, and report the largest difference."""

    def check(what: str, library: str, ours: ArrayLike, theirs: ArrayLike, *, within: float, unit: str = "") -> None:
        """Compare numbers.

        Args:
            what: What is compared, and on which inputs.
            library: Distribution of the reference, then its function; or what else it is.
            ours: Our numbers.
            theirs: Those of the library.
            within: Largest difference that is accepted.
            unit: Unit of the difference.
        """
        difference = float(np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max(initial=0.0))
        request.node.user_properties.append((KEY, (what, library, difference, within, unit)))
        assert difference <= within, (what, ours, theirs)

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table of all comparisons."""
    if not config.getoption("--comparisons"):
        return
    largest: dict[tuple[str, str], tuple[int, float, float, str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in (
                getattr(report, "user_properties", ()) if getattr(report, "when", "") == "teardown" else ()
            ):
                if key == KEY:
                    what, library, difference, within, unit = value
                    count, previous, *_ = largest.get((what, library), (0, 0.0))
                    largest[what, library] = (count + 1, max(difference, previous), within, unit)
    rows: list[Sequence[Any]] = [
        (what, _with_version(library), count, _text(difference, unit), _text(within, unit))
        for (what, library), (count, difference, within, unit) in largest.items()
    ]
    header = ("what, on which inputs", "with", "comparisons", "largest difference", "accepted")
    table = "".join(f"| {' | '.join(map(str, row))} |\n" for row in [header, ("---", "---", *["---:"] * 3), *rows])
    terminalreporter.write_line(table)
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if end and rows:
        DOCUMENT.write_text(f"{before}{START}{table}{END}{after}", encoding="utf-8")


def _with_version(library: str) -> str:
    name, _, function = library.partition(" ")
    try:
        return f"{name} {version(name)} {function}".strip()
    except ModuleNotFoundError:  # a formula
        return library


def _text(number: float, unit: str) -> str:
    return "none" if number == 0 else f"{number:.2g} {unit}".strip()
