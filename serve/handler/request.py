"""Parse requests: a photograph and its options. Runs inside an archive."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from ...models.runtime.exif_features import Tags
from ...models.runtime.preprocess import InvalidPhoto

PHOTO_FIELDS = ("body", "data", "image", "file")
"""Names of the field that holds the photograph; TorchServe calls a body without fields ``body``."""

OPTIONS = ("top_k", "targets", "explain", "exif")
_BAD_REQUEST = 400
_JSON_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]|\xff\xfe[{\[\s]\0|\xfe\xff\0[{\[\s]")  # UTF-8 or UTF-16
_DATA_URL = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/")
_MAX_QUOTED = 50


@dataclass(frozen=True)
class Request:
    """A photograph to predict, with options.

    Attributes:
        data: Bytes of the image file.
        top_k: Number of classes to return for each target, most probable first; None for all, in their own order.
        targets: Targets to return; empty for all.
        explain: Whether to add the contribution of each patch.
        exif: EXIF tags given with the file, for models that use them.
    """

    data: bytes = field(repr=False)
    top_k: int | None = None
    targets: tuple[str, ...] = ()
    explain: bool = False
    exif: Tags = field(default_factory=dict)


def parse_request(fields: Mapping[str, Any], *, explain: bool = False) -> Request:
    """Parse a request body: the image itself, a form, or JSON with the image in base64.

    Args:
        fields: Fields of the body by name: bytes, text or a parsed JSON object.
        explain: Default of the option ``explain``.

    Raises:
        InvalidPhoto: The request contains no photograph, or an option is invalid (status 400).
    """
    name, rest = _split(fields)
    if name is None:
        raise InvalidPhoto(
            _BAD_REQUEST, "The request contains no photograph; send it as the body, or as the form field 'data'."
        )
    options = {"explain": explain} | {key: _form_option(key, value) for key, value in rest.items()}
    content = _json_object(fields[name])
    if not isinstance(content, Mapping):
        return _request(_to_bytes(content), options)
    name, rest = _split(content)
    if name is None or not isinstance(content[name], str):
        raise InvalidPhoto(_BAD_REQUEST, "The JSON contains no photograph; send its bytes in base64 as 'image'.")
    return _request(_decode_text(content[name]), options | rest)


def _json_object(content: Any) -> Any:
    """Parse JSON that arrives as bytes, which no image format resembles; return anything else unchanged."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if not isinstance(data, bytes | bytearray) or not _JSON_START.match(data):
        return content
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return content  # refused later, as it is no image
    return document


def _decode_text(text: str) -> bytes:
    """Decode a photograph in a text: base64 of the standard or the URL-safe alphabet, or a data URL (RFC 2397)."""
    if header := _DATA_URL.match(text):
        content = unquote_to_bytes(text[header.end() :])
        if not header[1].rstrip().lower().endswith(";base64"):
            return content
        text = content.decode("ascii", "replace")
    digits = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidPhoto(_BAD_REQUEST, "The photograph in the JSON is not valid base64.") from error


def _split(fields: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the name of the field that holds the photograph, and the other fields."""
    name = next((name for name in PHOTO_FIELDS if name in fields), None)
    return name, {key: value for key, value in fields.items() if key != name}


def _request(data: bytes, options: Mapping[str, Any]) -> Request:
    unknown = [key for key in options if key not in OPTIONS]
    if unknown:
        raise InvalidPhoto(_BAD_REQUEST, f"Unknown option {quoted(unknown[0])}; the options are {', '.join(OPTIONS)}.")
    top_k, targets, exif = options.get("top_k"), options.get("targets", []), options.get("exif", {})
    if "top_k" in options and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise InvalidPhoto(_BAD_REQUEST, "'top_k' must be a positive integer.")
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise InvalidPhoto(_BAD_REQUEST, "'targets' must be a list of names.")
    if not isinstance(options["explain"], bool):
        raise InvalidPhoto(_BAD_REQUEST, "'explain' must be true or false.")
    if not isinstance(exif, Mapping):
        raise InvalidPhoto(_BAD_REQUEST, '\'exif\' must be an object of tags, such as {"FNumber": 2.8, "ISO": 400}.')
    return Request(data, top_k, tuple(targets), options["explain"], exif)


def _form_option(name: str, value: Any) -> Any:
    """Parse an option of a form, where every value is text: ``3``, ``shutter,iso``, ``true``, ``{"ISO": 400}``."""
    if isinstance(value, Mapping):  # TorchServe parses fields of type application/json
        return value
    text = _to_bytes(value).decode("utf-8", "replace").strip()
    if name == "targets":
        return [target.strip() for target in text.split(",")]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def quoted(text: object) -> str:
    """Quote text of a request for an error message: shortened, without control characters and lone surrogates."""
    return repr(str(text)[:_MAX_QUOTED])


def _to_bytes(value: Any) -> bytes:
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value  # TorchServe decodes text/plain
    if isinstance(data, bytes | bytearray):
        return _decode_text(bytes(data).decode("latin-1")) if data[:5].lower() == b"data:" else bytes(data)
    raise InvalidPhoto(_BAD_REQUEST, "The body is JSON, but not an object with a photograph as 'image'.")
