"""The gateway's HTTP interface: predictions, explanations and health checks.

| path | method | token |
|---|---|---|
| ``/predictions/MODEL[/VERSION]``, ``/explanations/MODEL[/VERSION]`` | POST, PUT | yes |
| ``/ping``, ``/health`` | GET | no |
| ``/v2/…`` (see `lightmeter.serve.gateway.inference_protocol`) | GET, POST | for ``infer`` |
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lightmeter.serve.gateway.fields import InvalidForm, may_be_form, request_fields
from lightmeter.serve.gateway.inference_protocol import protocol_routes
from lightmeter.serve.gateway.requests import PASSED_ON, RequestRecords
from lightmeter.serve.handler.tracing import REQUEST_ID, Tracing
from lightmeter.web import read_body

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FIRST_ERROR = 400
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """A prediction request for an engine.

    Attributes:
        model: Model name: letters, digits, ``.``, ``_`` and ``-``.
        version: Model version, of the same characters; empty for the active one.
        fields: Fields of the request: the photograph, or JSON that contains it, and options.
        explain: Whether the request was sent to ``/explanations``.
        headers: Headers for the engine: the identifier of the request, and its trace.
    """

    model: str
    version: str
    fields: Mapping[str, bytes]
    explain: bool
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """An engine's response: a status and a JSON document, as it is sent."""

    status: int
    content: bytes


class EngineUnavailable(Exception):
    """The engine does not respond; the message is a sentence for the client."""


class Engine(Protocol):
    """A prediction server that only the gateway talks to."""

    async def ready(self) -> bool:
        """Return whether every model can answer a request now."""

    async def predict(self, call: Call) -> Answer:
        """Answer a request.

        Raises:
            EngineUnavailable: The engine does not respond.
        """


def gateway_app(
    engine: Engine,
    accepts_token: Callable[[str], bool] | None,
    max_bytes: int,
    models: Mapping[str, str] | None = None,
    tracing: Tracing | None = None,
) -> RequestRecords:
    """Create the gateway's application.

    Args:
        engine: The engine that predicts.
        accepts_token: Returns whether a bearer token is valid; None if no token is needed.
        max_bytes: Maximum size of a request's body.
        models: Version of each model by name, to serve them by the Open Inference Protocol as well.
        tracing: Records a span of each request; None for none.
    """
    read = partial(_read, accepts_token=accepts_token, max_bytes=max_bytes)

    async def predict(request: Request) -> Response:
        body = await read(request)
        query = dict(request.query_params)
        try:
            content_type = request.headers.get("content-type", "")
            if may_be_form(content_type):
                fields = await run_in_threadpool(request_fields, content_type, body, query)
            else:
                fields = request_fields(content_type, body, query)
            answer = await engine.predict(_call(request, fields))
        except InvalidForm as error:
            raise HTTPException(400, str(error)) from error
        except EngineUnavailable as error:
            raise HTTPException(503, str(error)) from error
        return Response(_one_shape(answer), answer.status, media_type="application/json")

    async def predict_image(request: Request, version: str, image: bytes) -> tuple[int, dict[str, Any]]:
        call = Call(request.path_params["model"], version, {"body": image}, explain=False, headers=_passed_on(request))
        try:
            answer = await engine.predict(call)
        except EngineUnavailable as error:
            raise HTTPException(503, str(error)) from error
        return answer.status, json.loads(_one_shape(answer))

    async def health(_: Request) -> Response:
        ready = await engine.ready()
        return JSONResponse({"status": "Healthy" if ready else "Unhealthy"}, 200 if ready else 503)

    routes = [
        Route(f"/{kind}/{{model}}{version}", predict, methods=["POST", "PUT"], name=kind)
        for kind in ("predictions", "explanations")
        for version in ("", "/{version}")
    ]
    routes += [Route(path, health, methods=["GET"]) for path in ("/ping", "/health")]
    if models:
        routes += protocol_routes(models, engine.ready, read, predict_image)
    handlers: dict[Any, Any] = {HTTPException: _http_error, ClientDisconnect: _client_left, Exception: _failure}
    return RequestRecords(Starlette(routes=routes, exception_handlers=handlers), tracing)


def error_document(status: int, reason: str) -> dict[str, Any]:
    """Return the document of every error."""
    return {"error": {"status": status, "reason": reason}}


def _bearer_token(request: Request) -> str:
    """Return the bearer token of a request; the scheme's letter case does not matter (RFC 9110, section 11.1)."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _read(request: Request, accepts_token: Callable[[str], bool] | None, max_bytes: int) -> bytes:
    """Return the body of a request for a model.

    Raises:
        HTTPException: The token is not valid, there is no such model, or the body is too long.
    """
    if accepts_token and not accepts_token(_bearer_token(request)):
        raise HTTPException(
            401,
            "A valid token is required in the header 'Authorization: Bearer TOKEN'.",
            {"WWW-Authenticate": "Bearer"},
        )
    if not all(_NAME.fullmatch(name) for name in request.path_params.values()):
        raise HTTPException(404, "There is no model of this name.")
    _check_length(request, max_bytes)
    return await read_body(request, max_bytes)


def _check_length(request: Request, max_bytes: int) -> None:
    """Refuse a body by its announced length, before it is read."""
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length) > max_bytes:
        raise HTTPException(413, f"The body exceeds the limit of {max_bytes} bytes.", {"Connection": "close"})


def _call(request: Request, fields: Mapping[str, bytes]) -> Call:
    model, version = request.path_params["model"], request.path_params.get("version", "")
    explain = request.url.path.startswith("/explanations/")
    return Call(model, version, fields, explain=explain, headers=_passed_on(request))


def _passed_on(request: Request) -> Mapping[str, str]:
    headers: Mapping[str, str] = request.scope["state"][PASSED_ON]
    return headers


def _one_shape(answer: Answer) -> bytes:
    """Return the document of an answer; an engine's own errors, of any shape, become ours."""
    if answer.status < _FIRST_ERROR:
        return answer.content
    try:
        document = json.loads(answer.content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    if set(document) == {"error"}:
        return answer.content
    reason = document.get("message") or document.get("detail") or "The engine gave no reason."
    return json.dumps(error_document(answer.status, str(reason)[:500])).encode()


def _http_error(_: Request, error: Any) -> Response:
    return JSONResponse(error_document(error.status_code, error.detail), error.status_code, error.headers)


def _client_left(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


def _failure(request: Request, error: Exception) -> Response:
    _log.error("request_id=%s A request failed: %r", _passed_on(request)[REQUEST_ID], error)
    return JSONResponse(error_document(500, "The request failed; see the server's log."), 500)
