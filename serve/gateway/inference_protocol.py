"""The Open Inference Protocol, version 2 (KServe, Triton), for the models behind the gateway.

A model has one input, ``image``: the bytes of N photograph files as a ``BYTES`` tensor of shape [N], in binary form
(`Binary tensor data extension`) or as base64 text. Its output ``predictions`` has the JSON document of each photograph;
one that cannot be predicted has its error there and does not affect the others.
"""

import base64
import binascii
import json
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_HEADER_LENGTH = "inference-header-content-length"
_INPUT, _OUTPUT = "image", "predictions"
_LENGTH = struct.Struct("<I")
_MAX_IMAGES = 64
_FIRST_ERROR = 400

Predict = Callable[[Request, str, bytes], Awaitable[tuple[int, dict[str, Any]]]]
"""Predicts a photograph, given the request, the version of the model and the bytes; returns status and document."""
ReadBody = Callable[[Request], Awaitable[bytes]]
"""Checks the token of a request and reads its body."""


class InvalidInference(ValueError):
    """A request that does not follow the protocol; the message is a sentence for the client."""


def protocol_routes(
    models: Mapping[str, str], ready: Callable[[], Awaitable[bool]], read: ReadBody, predict: Predict
) -> list[Route]:
    """Return the routes of the protocol.

    Args:
        models: Version of each model, by name.
        ready: Returns whether every model can answer now.
        read: Checks the token of a request and reads its body.
        predict: Predicts a photograph.
    """

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def server_ready(_: Request) -> Response:
        is_ready = await ready()
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    async def server_metadata(_: Request) -> Response:
        return JSONResponse({"name": "lightmeter", "version": "2", "extensions": ["binary_tensor_data"]})

    async def model_ready(request: Request) -> Response:
        name, _ = _model(request, models)
        is_ready = await ready()
        return JSONResponse({"name": name, "ready": is_ready}, 200 if is_ready else 503)

    async def metadata(request: Request) -> Response:
        name, version = _model(request, models)
        tensors = {key: [{"name": tensor, "datatype": "BYTES", "shape": [-1]}] for key, tensor in _TENSORS.items()}
        return JSONResponse({"name": name, "versions": [version], "platform": "lightmeter", **tensors})

    async def infer(request: Request) -> Response:
        name, version = _model(request, models)
        body = await read(request)
        try:
            identifier, images = parse_request(body, request.headers.get(_HEADER_LENGTH))
        except InvalidInference as error:
            raise HTTPException(400, str(error)) from error
        results = [await predict(request, version, image) for image in images]
        if len(results) == 1 and results[0][0] >= _FIRST_ERROR:
            status, document = results[0]
            return JSONResponse({"error": document["error"]["reason"]}, status)
        texts = [json.dumps(document) for _, document in results]
        output = {"name": _OUTPUT, "datatype": "BYTES", "shape": [len(texts)], "data": texts}
        answer = {"model_name": name, "model_version": version, "outputs": [output]}
        return JSONResponse(answer | ({"id": identifier} if identifier else {}))

    handlers: dict[str, tuple[Callable[[Request], Awaitable[Response]], str]] = {
        "": (server_metadata, "GET"),
        "/health/live": (live, "GET"),
        "/health/ready": (server_ready, "GET"),
    }
    for version in ("", "/versions/{version}"):
        handlers[f"/models/{{model}}{version}"] = (metadata, "GET")
        handlers[f"/models/{{model}}{version}/ready"] = (model_ready, "GET")
        handlers[f"/models/{{model}}{version}/infer"] = (infer, "POST")
    return [Route(f"/v2{path}", _own_errors(handler), methods=[method]) for path, (handler, method) in handlers.items()]


_TENSORS = {"inputs": _INPUT, "outputs": _OUTPUT}


def parse_request(body: bytes, header_length: str | None) -> tuple[str, list[bytes]]:
    """Return the id of an inference request and the bytes of its photographs.

    Args:
        body: JSON, and binary tensors behind it.
        header_length: Length of the JSON, if binary tensors follow.

    Raises:
        InvalidInference: The request does not follow the protocol.
    """
    length = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and int(header_length) <= len(body)):
            raise InvalidInference("The header Inference-Header-Content-Length is not a length within the body.")
        length = int(header_length)
    try:
        document = json.loads(body[:length])
        (tensor,) = document["inputs"]
        identifier, name, kind, shape = str(document.get("id", "")), tensor["name"], tensor["datatype"], tensor["shape"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInference("Send JSON with exactly one tensor in 'inputs': name, datatype, shape, data.") from error
    if name != _INPUT or kind != "BYTES":
        raise InvalidInference(f"The input must be named '{_INPUT}' and have the datatype BYTES.")
    images = list(_binary(body[length:])) if header_length is not None else _texts(tensor.get("data"))
    if not images or len(images) > _MAX_IMAGES or shape not in ([len(images)], [len(images), 1]):
        raise InvalidInference(f"The shape must be [N] for N photographs, from 1 to {_MAX_IMAGES}.")
    return identifier, images


def _binary(content: bytes) -> Iterator[bytes]:
    """Yield the elements of a BYTES tensor: each has its length before it."""
    position = 0
    while position < len(content):
        start = position + _LENGTH.size
        length = _LENGTH.unpack_from(content, position)[0] if start <= len(content) else len(content)
        position = start + length
        if position > len(content):
            raise InvalidInference("An element of the binary tensor is shorter than its length says.")
        yield content[start:position]


def _texts(data: Any) -> list[bytes]:
    texts = data if isinstance(data, list) else []
    while texts and all(isinstance(item, list) for item in texts):
        texts = [text for item in texts for text in item]
    try:
        return [base64.b64decode(text, validate=True) for text in texts]
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidInference("Photographs in JSON must be base64; or send binary tensors.") from error


def _model(request: Request, models: Mapping[str, str]) -> tuple[str, str]:
    name, version = request.path_params["model"], request.path_params.get("version", "")
    if name not in models or version not in {"", models[name]}:
        raise HTTPException(404, f"There is no model {name}{f' of version {version}' if version else ''}.")
    return name, models[name]


def _own_errors(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler whose errors have the protocol's shape, ``{"error": "…"}``."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except HTTPException as error:
            return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    return answer
