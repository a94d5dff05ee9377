"""Settings that a search tries: ``learning_rate=1e-4..1e-2`` or ``patches=4,8,16``."""

import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightmeter.errors import UsageError

if TYPE_CHECKING:
    from optuna.trial import Trial

_DECADE = 10  # a range as wide as this is searched by its logarithm


@dataclass(frozen=True)
class SearchRange:
    """One setting and the values that it can take.

    Attributes:
        key: as ``--set`` takes it.
        choices: values to choose between; empty for a range.
        low: least value of a range; whole where both ends are.
        high: greatest value.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0

    @property
    def examples(self) -> tuple[object, ...]:
        """Values of which each must be possible."""
        return self.choices or (self.low, self.high)

    def suggest(self, trial: "Trial") -> object:
        """Return the value that a trial tries."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        wide = self.low > 0 and self.high / self.low >= _DECADE
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.key, self.low, self.high, log=wide)
        return trial.suggest_float(self.key, self.low, self.high, log=wide)


def parse_search_range(texts: Sequence[str]) -> list[SearchRange]:
    """Read what a person wants to be tried.

    Raises:
        UsageError: if one is neither a range nor several values.
    """
    found = [_read(text) for text in texts]
    if not found:
        raise UsageError("There is nothing to search; say what to try, for example --vary learning_rate=1e-4..1e-2.")
    return found


def _read(text: str) -> SearchRange:
    key, equals, values = (part.strip() for part in text.partition("="))
    low, dots, high = values.partition("..")
    if equals and dots:
        ends = [_number(end) for end in (low, high)]
        if None not in ends and ends[0] < ends[1]:
            return SearchRange(key, low=ends[0], high=ends[1])
    elif equals:
        choices = _choices(values)
        if len(choices) > 1:
            return SearchRange(key, choices)
    raise UsageError(f"--vary wants key=low..high or key=a,b,c, not '{text}'.")


def _choices(text: str) -> tuple[str, ...]:
    """Return values with commas between; commas within brackets and quotes do not count."""
    try:
        values = tomllib.loads(f"value = [{text}]")["value"]
    except tomllib.TOMLDecodeError:
        return tuple(part.strip() for part in text.split(","))
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def _number(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None
