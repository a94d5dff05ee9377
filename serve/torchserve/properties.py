"""Read and write Java's ``.properties`` files (documentation of ``java.util.Properties.load``)."""

import re
from collections.abc import Mapping
from pathlib import Path

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic

_LINE = re.compile(r"((?:\\.|[^\s=:\\])+)[ \t]*[=: \t]?[ \t]*(.*)")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def read_properties(path: Path) -> dict[str, str]:
    """Return the properties of a file.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise UsageError(f"The configuration {path} cannot be read ({error.strerror}).") from error
    joined = re.sub(r"(?<!\\)((?:\\\\)*)\\\r?\n[ \t]*", r"\1", text)  # a line ending in a backslash goes on
    lines = (line.strip(" \t\f") for line in joined.splitlines())
    matches = (_LINE.fullmatch(line) for line in lines if not line.startswith(("#", "!")))
    return {_unescape(match[1]): _unescape(match[2]) for match in matches if match}


def write_properties(path: Path, values: Mapping[str, object]) -> None:
    """Write properties to a file, in their order."""
    write_atomic(path, "".join(f"{key}={_escape(str(value))}\n" for key, value in values.items()))


def _escape(value: str) -> str:
    """Double backslashes, and write what is not printable ASCII as UTF-16 units in hexadecimal."""
    units = value.replace("\\", "\\\\").encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[index : index + 2]) for index in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 <= code <= 0x7E else f"\\u{code:04x}" for code in codes)


def _unescape(text: str) -> str:
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _CONTROLS.get(match[2], match[2]), text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins surrogates
