"""What a request holds. Runs inside an archive."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.preprocess import PhotographError

PARTS = ("body", "data", "image", "file")
"""Names of the part of a request's body that holds the photograph; a plain body is called ``body``."""

_OPTIONS = ("top_k", "targets", "explain")
_WRONG = 400


@dataclass(frozen=True)
class Request:
    """One photograph to read, and what is wanted of it.

    Attributes:
        data: the file's bytes.
        top_k: how many classes of each target to tell, the most probable first; 0 for all, in their own order.
        targets: which targets to tell; none for all.
        explain: whether to tell which patches counted.
    """

    data: bytes = field(repr=False)
    top_k: int = 0
    targets: tuple[str, ...] = ()
    explain: bool = False


def read_request(parts: Mapping[str, Any], *, explain: bool = False) -> Request:
    """Return the request that a body holds: the photograph itself, a form, or JSON with the photograph as base64.

    Args:
        parts: the body's parts by name, bytes or text, or a JSON object already read.
        explain: whether it was sent to where explanations are asked for.

    Raises:
        PhotographError: if there is no photograph in it, or an option is wrong.
    """
    name = next((name for name in PARTS if name in parts), None)
    if name is None:
        raise PhotographError(
            _WRONG, "The request holds no photograph; send the file as the body, or as the part 'data' of a form."
        )
    value = parts[name]
    if isinstance(value, Mapping):
        return _from_json(value, explain=explain)
    options = {key: _option(key, parts[key]) for key in _OPTIONS if key in parts}
    return _request(_bytes(value), {"explain": explain, **options})


def _from_json(document: Mapping[str, Any], *, explain: bool) -> Request:
    unknown = [key for key in document if key not in {*PARTS, *_OPTIONS}]
    if unknown:
        raise PhotographError(_WRONG, f"There is no option '{unknown[0]}'; there are {', '.join(_OPTIONS)}.")
    encoded = next((document[name] for name in PARTS if name in document), None)
    if not isinstance(encoded, str):
        raise PhotographError(_WRONG, "The JSON holds no photograph; send its bytes in base64 as 'image'.")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PhotographError(_WRONG, f"The photograph in the JSON is not base64 ({error}).") from error
    return _request(data, {"explain": explain, **{key: document[key] for key in _OPTIONS if key in document}})


def _request(data: bytes, options: dict[str, Any]) -> Request:
    top_k, targets = options.get("top_k", 0), options.get("targets", [])
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 0:
        raise PhotographError(_WRONG, "'top_k' must be a whole number, 1 or more.")
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise PhotographError(_WRONG, "'targets' must be a list of names.")
    if not isinstance(options["explain"], bool):
        raise PhotographError(_WRONG, "'explain' must be true or false.")
    return Request(data, top_k, tuple(targets), options["explain"])


def _option(name: str, value: Any) -> Any:
    """Return an option of a form, where everything is text: ``3``, ``shutter,iso``, ``true``."""
    text = _bytes(value).decode("utf-8", "replace").strip()
    if name == "targets":
        return [target.strip() for target in text.split(",")]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):  # TorchServe has decoded a part that calls itself text
        return value.encode()
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise PhotographError(_WRONG, "The body is JSON, but not an object with a photograph as 'image'.")
