"""Small web applications on loopback: the base of the browser, the web demo and the test kit.

Applications are Starlette applications, served by uvicorn in a background thread. They answer only requests whose
``Host`` is a loopback name, so that no other site can reach them through DNS rebinding.
"""

import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightmeter.connections import TimedProtocol
from lightmeter.errors import LightmeterError, UsageError
from lightmeter.style import ICON, STYLE_SHEET

LOOPBACK = "127.0.0.1"

_MAX_REASON = 300  # characters
_HOSTS = (LOOPBACK, "localhost")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def local_app(routes: Sequence[BaseRoute], *, content_security_policy: str = "default-src 'self'") -> Starlette:
    """Create an application that only loopback clients may use.

    Errors are JSON, ``{"error": {"status": …, "reason": …}}``: status 400 for a `UsageError`, 503 for any other
    `LightmeterError`.

    Args:
        routes: Starlette routes.
        content_security_policy: Sent with every response.
    """
    headers = _SECURITY_HEADERS | {"Content-Security-Policy": content_security_policy}
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(_DefaultHeaders, headers=headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(_HOSTS)),
        ],
        exception_handlers={HTTPException: _http_error, UsageError: _usage_error, LightmeterError: _failure},
    )


def page_routes(folder: Path, index: str = "index.html") -> list[BaseRoute]:
    """Return routes for the files of a page: ``/`` for its index, one for each other file, and the shared style."""
    files = sorted(path for path in (*folder.iterdir(), STYLE_SHEET, ICON) if path.is_file())
    return [Route("/" if path.name == index else f"/{path.name}", _file_endpoint(path)) for path in files]


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port: int = free.getsockname()[1]
        return port


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read a request's body.

    Raises:
        HTTPException: Status 413 if the body is longer than ``max_bytes``.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"The body exceeds the limit of {max_bytes} bytes.")
    return bytes(body)


class LocalServer:
    """Serve an ASGI application on loopback, in a background thread, while the ``with`` block runs.

    Args:
        app: The application.
        port: Port to bind; 0 for any free port.

    Attributes:
        port: The port in use.

    Raises:
        UsageError: The port cannot be bound.

    Example:
        >>> with LocalServer(local_app([])) as server:
        ...     server.url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((LOOPBACK, port))
        except OSError as error:
            self._socket.close()
            raise UsageError(f"Port {port} cannot be bound ({error.strerror}); choose another --port.") from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app, http=TimedProtocol, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    @property
    def url(self) -> str:
        """Base URL of the application, without a trailing slash."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._socket.listen()  # from here on clients can connect
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def wait(self) -> None:
        """Block until the process is interrupted."""
        self._thread.join()


class _DefaultHeaders:
    """ASGI middleware that adds headers to each response that does not set them itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(item for item in self._headers if item[0] not in names)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _file_endpoint(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_: Request) -> Response:
        return FileResponse(path)

    return endpoint


def error_response(status: int, reason: str) -> JSONResponse:
    """Return an error as JSON: ``{"error": {"status": …, "reason": …}}``; a reason that quotes much is shortened."""
    if len(reason) > _MAX_REASON:
        reason = f"{reason[: _MAX_REASON // 2]} … {reason[-_MAX_REASON // 2 :]}"
    return JSONResponse({"error": {"status": status, "reason": reason}}, status)


def _http_error(_: Request, error: Any) -> Response:
    return error_response(error.status_code, error.detail)


def _usage_error(_: Request, error: Exception) -> Response:
    return error_response(400, str(error))


def _failure(_: Request, error: Exception) -> Response:
    return error_response(503, str(error))
