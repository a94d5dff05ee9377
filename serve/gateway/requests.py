"""What every request to the gateway gets: an identifier, a line in the log, and a span of its trace."""

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightmeter.serve.gateway.logs import FIELDS, REQUEST_LOGGER
from lightmeter.serve.handler.tracing import REQUEST_ID, TRACEPARENT, Tracing, valid_request_id

PASSED_ON = "passed_on"
"""Key of a request's state: the headers that the engine gets as well."""

_PROBES = ("/ping", "/health", "/v2/health/live", "/v2/health/ready")
_INTERRUPTED = 499  # the client left
_MAX_PATH = 300
_log = logging.getLogger(REQUEST_LOGGER)


class RequestRecords:
    """ASGI middleware that identifies, logs and traces requests.

    The identifier is that of the client's header ``X-Request-ID``, or a new one; the response has it in the same
    header.

    Args:
        app: The application.
        tracing: Records spans; None for none.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing | None = None) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - of ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, start, status = Headers(scope=scope), time.perf_counter(), _INTERRUPTED
        identifier = valid_request_id(headers.get(REQUEST_ID, "")) or uuid.uuid4().hex
        traceparent = headers.get(TRACEPARENT, "")
        tracing = self._tracing if scope["path"] not in _PROBES else None
        span = tracing.start_request(f"{scope['method']} {_route(scope['path'])}", traceparent) if tracing else None
        if tracing:
            traceparent = tracing.traceparent(span)
        passed_on = {name: value for name, value in ((REQUEST_ID, identifier), (TRACEPARENT, traceparent)) if value}
        scope.setdefault("state", {})[PASSED_ON] = passed_on

        async def send_with_identifier(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = identifier
            await send(message)

        try:
            await self._app(scope, receive, send_with_identifier)
        finally:
            fields = _fields(scope, identifier, traceparent)
            if tracing:
                tracing.end_request(span, status, _attributes(scope, identifier))
            if scope["path"] not in _PROBES:
                duration_ms = round(1000 * (time.perf_counter() - start), 1)
                record = {FIELDS: {**fields, "status": status, "duration_ms": duration_ms}}
                _log.info("%s %s %d", fields["method"], fields["path"], status, extra=record)


def _route(path: str) -> str:
    """Return the first part of a path, of which there are few."""
    return f"/{path.strip('/').partition('/')[0]}"


def _fields(scope: Scope, identifier: str, traceparent: str) -> dict[str, Any]:
    trace = {"trace_id": traceparent.split("-")[1]} if traceparent.count("-") == 3 else {}
    return {"request_id": identifier, **trace, "method": scope["method"], "path": scope["path"][:_MAX_PATH]}


def _attributes(scope: Scope, identifier: str) -> Mapping[str, str]:
    return {
        "http.request.method": scope["method"],
        "url.path": scope["path"][:_MAX_PATH],
        "lightmeter.request_id": identifier,
    }
