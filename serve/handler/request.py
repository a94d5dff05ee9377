"""What a request holds. Runs inside an archive."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightmeter.models.runtime.exif_features import Tags
from lightmeter.models.runtime.preprocess import InvalidPhoto

PARTS = ("body", "data", "image", "file")
"""Names of the part of a request's body that holds the photograph; a plain body is called ``body``."""

OPTIONS = ("top_k", "targets", "explain", "exif")
_WRONG = 400


@dataclass(frozen=True)
class Request:
    """One photograph to read, and what is wanted of it.

    Attributes:
        data: the file's bytes.
        top_k: how many classes of each target to tell, the most probable first; 0 for all, in their own order.
        targets: which targets to tell; none for all.
        explain: whether to tell which patches counted.
        exif: tags that are told beside the file, for models that read some.
    """

    data: bytes = field(repr=False)
    top_k: int = 0
    targets: tuple[str, ...] = ()
    explain: bool = False
    exif: Tags = field(default_factory=dict)


def read_request(parts: Mapping[str, Any], *, explain: bool = False) -> Request:
    """Return the request that a body holds: the photograph itself, a form, or JSON with the photograph as base64.

    Args:
        parts: the body's parts by name, bytes or text, or a JSON object already read.
        explain: whether it was sent to where explanations are asked for.

    Raises:
        PhotographError: if there is no photograph in it, or an option is wrong.
    """
    name, rest = _split(parts)
    if name is None:
        raise InvalidPhoto(
            _WRONG, "The request holds no photograph; send the file as the body, or as the part 'data' of a form."
        )
    options = {"explain": explain} | {key: _option(key, value) for key, value in rest.items()}
    value = parts[name]
    if not isinstance(value, Mapping):
        return _request(_bytes(value), options)
    name, rest = _split(value)
    if name is None or not isinstance(value[name], str):
        raise InvalidPhoto(_WRONG, "The JSON holds no photograph; send its bytes in base64 as 'image'.")
    try:
        data = base64.b64decode(value[name], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidPhoto(_WRONG, f"The photograph in the JSON is not base64 ({error}).") from error
    return _request(data, options | rest)


def _split(parts: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return which part holds the photograph, and the others."""
    name = next((name for name in PARTS if name in parts), None)
    return name, {key: value for key, value in parts.items() if key != name}


def _request(data: bytes, options: Mapping[str, Any]) -> Request:
    unknown = [key for key in options if key not in OPTIONS]
    if unknown:
        raise InvalidPhoto(_WRONG, f"There is no option '{unknown[0]}'; there are {', '.join(OPTIONS)}.")
    top_k, targets, exif = options.get("top_k", 0), options.get("targets", []), options.get("exif", {})
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 0:
        raise InvalidPhoto(_WRONG, "'top_k' must be a whole number, 1 or more.")
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise InvalidPhoto(_WRONG, "'targets' must be a list of names.")
    if not isinstance(options["explain"], bool):
        raise InvalidPhoto(_WRONG, "'explain' must be true or false.")
    if not isinstance(exif, Mapping):
        raise InvalidPhoto(_WRONG, '\'exif\' must be an object of tags, such as {"FNumber": 2.8, "ISO": 400}.')
    return Request(data, top_k, tuple(targets), options["explain"], exif)


def _option(name: str, value: Any) -> Any:
    """Return an option of a form, where everything is text: ``3``, ``shutter,iso``, ``true``, ``{"ISO": 400}``."""
    if isinstance(value, Mapping):  # TorchServe has read a part that calls itself JSON
        return value
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
    raise InvalidPhoto(_WRONG, "The body is JSON, but not an object with a photograph as 'image'.")
