"""Logs of servers: as text, or as JSON with a line for each request."""

import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, get_args

from lightmeter.errors import UsageError

LogFormat = Literal["text", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)
FORMAT_VARIABLE = "LIGHTMETER_SERVE__LOG_FORMAT"
"""Environment variable of the format, which is also that of the setting ``serve.log_format``."""

FIELDS = "fields"
"""Attribute of a log record with further fields."""

MODEL_LOG, ACCESS_LOG = "model_log.log", "access_log.log"
"""Files of messages and of requests, named as TorchServe names them."""

REQUEST_LOGGER = "lightmeter.serve.gateway.requests"
_OUTPUT = "output"
_MAX_BYTES, _BACKUPS = 10_000_000, 5
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
    handler.setFormatter(_formatter(format_))
    handler.setLevel(_level(format_))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("lightmeter").setLevel(_level(format_))


class LogFile(RotatingFileHandler):
    """A log of limited size, which also takes lines of other programs as they are.

    Args:
        file: The file.
        format_: Format of records, ``text`` or ``json``.
    """

    def __init__(self, file: Path, format_: str) -> None:
        super().__init__(file, maxBytes=_MAX_BYTES, backupCount=_BACKUPS, encoding="utf-8")
        self.setFormatter(_formatter(format_))

    def write_line(self, line: str) -> None:
        """Add a line of another program."""
        self.handle(logging.makeLogRecord({"name": _OUTPUT, "msg": line}))

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return str(record.msg) if record.name == _OUTPUT else super().format(record)


def write_logs(folder: Path, format_: str) -> LogFile:
    """Write logs into a folder as well: `MODEL_LOG`, and every request, in either format, into `ACCESS_LOG`.

    Returns:
        The former, for the lines of other programs.
    """
    model, requests = LogFile(folder / MODEL_LOG, format_), LogFile(folder / ACCESS_LOG, format_)
    model.setLevel(_level(format_))
    logging.getLogger().addHandler(model)
    logger = logging.getLogger(REQUEST_LOGGER)
    logger.addHandler(requests)
    logger.setLevel(logging.INFO)
    return model


def _level(format_: str) -> int:
    return logging.INFO if format_ == "json" else logging.WARNING


def _formatter(format_: str) -> logging.Formatter:
    return JsonFormatter() if format_ == "json" else logging.Formatter(_TEXT)
