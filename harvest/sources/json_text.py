"""JSON of strangers, of any depth."""

import json
import re
from typing import Any

MAX_DEPTH = 64
"""Levels of arrays and objects; deeper ones become null."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]|[^"\[\]{}]+', re.DOTALL)


def parse_json(text: str | bytes) -> Any:
    """Return the document in a text; what is nested too deeply for Python's parser is left out.

    Raises:
        ValueError: The text is not JSON.

    Example:
        >>> parse_json('{"a": ' + "[" * 5000 + "]" * 5000 + ', "b": 1}')["b"]
        1
    """
    try:
        return json.loads(text)
    except RecursionError:
        pass
    text = text if isinstance(text, str) else text.decode(json.detect_encoding(text), "replace")
    try:
        return json.loads(_pruned(text))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _pruned(text: str) -> str:
    """Return JSON in which arrays and objects beyond the maximum depth are null."""
    parts: list[str] = []
    depth = 0
    for token in _TOKEN.findall(text):
        if token in ("[", "{"):
            depth += 1
            if depth == MAX_DEPTH + 1:
                parts.append("null")
        if depth <= MAX_DEPTH:
            parts.append(token)
        if token in ("]", "}"):
            depth -= 1
    return "".join(parts)
