"""From stops to what a lens, a shutter or a camera's dial says. Runs inside an archive."""

from collections.abc import Callable, Mapping

# Exif 2.32, annex C (APEX), with ISO counted from 100 and exposure times growing.
_VALUES: Mapping[str, Callable[[float], float]] = {
    "Av": lambda stops: 2.0 ** (stops / 2),
    "log2 s": lambda stops: 2.0**stops,
    "log2 (ISO / 100)": lambda stops: 100 * 2.0**stops,
}
_MOST_STOPS = 64.0


def in_stops(unit: str) -> bool:
    """Return whether a target's unit counts stops, so that equal steps are equal everywhere."""
    return unit in _VALUES


def number_of(stops: float, unit: str) -> float | None:
    """Return the f-number, the seconds or the ISO that a number of stops is.

    Args:
        stops: in a target's unit.
        unit: the target's, such as ``Av``.

    Returns:
        None for stops that count something else, or are more than any camera has.
    """
    return _VALUES[unit](stops) if unit in _VALUES and abs(stops) <= _MOST_STOPS else None
