"""Search ranges of settings: ``learning_rate=1e-4..1e-2`` or ``patches=4,8,16``."""

import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightmeter.errors import UsageError

if TYPE_CHECKING:
    from optuna.trial import Trial

_LOG_SCALE_RATIO = 10  # between the ends of a range, from which it is searched on a logarithmic scale


@dataclass(frozen=True)
class SearchRange:
    """A setting and the values to search.

    Attributes:
        key: Key as in ``--set``.
        choices: Values to choose from; empty for a range.
        low: Least value of a range; a whole number if both ends are.
        high: Greatest value of a range.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0

    @property
    def examples(self) -> tuple[object, ...]:
        """Values that must all be valid."""
        return self.choices or (self.low, self.high)

    def suggest(self, trial: "Trial") -> object:
        """Return the value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        log = self.low > 0 and self.high / self.low >= _LOG_SCALE_RATIO
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.key, self.low, self.high, log=log)
        return trial.suggest_float(self.key, self.low, self.high, log=log)


def parse_search_range(texts: Sequence[str]) -> list[SearchRange]:
    """Parse the values of ``--search``.

    Raises:
        UsageError: A value is neither a range nor a list of several values.
    """
    return [_parse(text) for text in texts]


def _parse(text: str) -> SearchRange:
    key, equals, values = (part.strip() for part in text.partition("="))
    low, dots, high = values.partition("..")
    if equals and dots:
        ends = [_parse_number(end) for end in (low, high)]
        if None not in ends and ends[0] < ends[1]:
            return SearchRange(key, low=ends[0], high=ends[1])
    elif equals:
        choices = _parse_choices(values)
        if len(choices) > 1:
            return SearchRange(key, choices)
    raise UsageError(f"Invalid --search '{text}': use KEY=LOW..HIGH or KEY=A,B,C.")


def _parse_choices(text: str) -> tuple[str, ...]:
    """Return the values of a list; commas within brackets and quotes do not separate values."""
    try:
        values = tomllib.loads(f"value = [{text}]")["value"]
    except tomllib.TOMLDecodeError:
        return tuple(part.strip() for part in text.split(","))
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def _parse_number(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None
