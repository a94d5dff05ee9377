"""The configuration of TorchServe's logs, whose lines are text or JSON, and the lines as text."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

LOGGING_FILE = "log4j2.xml"

_TEXT = "%d{ISO8601} [%-5p] %t %c - %m%n"
_JSON = (
    """{"time":"%d{yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}{UTC}","level":"%p","logger":"%enc{%c}{JSON}","""
    r""""thread":"%enc{%t}{JSON}","request_id":"%replace{%m}{^(?:.*request_id=([\w.-]+))?[\s\S]*$}{$1}","""
    """"message":"%enc{%m}{JSON}","exception":"%enc{%ex}{JSON}"}%n"""
)


def write_logging(file: Path, log_format: str) -> None:
    """Write the configuration of TorchServe's logs.

    Args:
        file: The file.
        log_format: ``text`` or ``json``.
    """
    template = (Path(__file__).parent / LOGGING_FILE).read_text(encoding="utf-8")
    file.write_text(template.replace("@LINE@", escape(_JSON if log_format == "json" else _TEXT)), encoding="utf-8")


def as_text(line: str) -> str:
    """Return a line of a log as text, if it is JSON."""
    if not line.startswith('{"time":'):
        return line
    try:
        record = json.loads(line)
        return f"{record['time']} [{record['level']:5}] {record['thread']} {record['logger']} - {record['message']}"
    except (ValueError, KeyError):
        return line
