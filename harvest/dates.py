"""Times and dates as sources, queries and options write them."""

from datetime import UTC, datetime, timedelta
from typing import Any

_MAX_TIME_LENGTH = 64


def parse_time(value: Any) -> datetime | None:
    """Return an ISO 8601 date or time; UTC if it has no zone, None if it is not one."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value)[:_MAX_TIME_LENGTH])
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def parse_period(text: str) -> tuple[datetime, datetime | None]:
    """Return the start of a year, month or day, and the start of the next; None after the year 9999.

    Raises:
        ValueError: The text is not a date.

    Example:
        >>> [time.isoformat() for time in parse_period("2019-12")]
        ['2019-12-01T00:00:00+00:00', '2020-01-01T00:00:00+00:00']
    """
    for pattern, days in (("%Y", 366), ("%Y-%m", 31), ("%Y-%m-%d", 1)):
        try:
            start = datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
        try:
            end = start + timedelta(days=days)
        except OverflowError:
            return start, None
        return start, end if days == 1 else end.replace(month=1 if pattern == "%Y" else end.month, day=1)
    raise ValueError(f"'{text}' is not a date; write 2019, 2019-05 or 2019-05-31")


def parse_timestamp(seconds: Any) -> datetime | None:
    """Return the time of a Unix timestamp; None if it is not one."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
