"""Logs of servers: as text, or as JSON with a line for each request."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from lightmeter.errors import UsageError

LogFormat = Literal["text", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)
FORMAT_VARIABLE = "LIGHTMETER_SERVE__LOG_FORMAT"
"""Environment variable of the format, which is also that of the setting ``serve.log_format``."""

FIELDS = "fields"
"""Attribute of a log record with further fields."""

_TEXT = "%(asctime)s [%(levelname)s] %(name)s - %(message)s"


class JsonFormatter(logging.Formatter):
    """Write a record as one line of JSON: ``time``, ``level``, ``logger``, ``message`` and further fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        document: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)


def configure_logging(format_: str) -> None:
    """Write logs of this process to standard error: warnings as text, or also every request as JSON.

    Raises:
        UsageError: There is no such format.
    """
    if format_ not in LOG_FORMATS:
        raise UsageError(f"Unknown log format '{format_}'; use {' or '.join(LOG_FORMATS)}.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format_ == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("lightmeter").setLevel(logging.INFO if format_ == "json" else logging.WARNING)
