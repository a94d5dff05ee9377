"""Server of the browser: loopback only, with a token, for one annotator."""

import re
import secrets
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, DispatchFunction, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from lightmeter.labels.browser.api import api_routes
from lightmeter.labels.browser.details import original, thumbnail
from lightmeter.labels.browser.session import Session
from lightmeter.style import BROWSER_PORT
from lightmeter.web import LOOPBACK, LocalServer, error_response, local_app, page_routes

_PAGE = Path(__file__).parent / "page"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_SECURITY_POLICY = "default-src 'self'; frame-ancestors 'none'"
_IMAGE_HEADERS = {"Cache-Control": "private, max-age=3600"}


class BrowserServer(LocalServer):
    """Serve the photographs of a project to one annotator while the ``with`` block runs.

    All addresses of the page are relative, so that it also works behind a proxy that removes a prefix of the path.

    Args:
        session: Session of the annotator.
        port: Port to bind; 0 for any free port.

    Attributes:
        token: Token that a browser must present once, in the page's URL.
    """

    def __init__(self, session: Session, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        project = session.library.project
        routes = [
            *page_routes(_PAGE),
            *api_routes(session),
            _image("/photo/{sha256}", partial(original, project.store)),
            _image("/thumbnail/{sha256}", partial(thumbnail, project.store, project.state / "thumbnails")),
        ]
        protected = Mount(
            "/", routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=_require_token(self.token))]
        )
        super().__init__(local_app([protected], content_security_policy=_CONTENT_SECURITY_POLICY), port)

    def page_url(self, state: Mapping[str, object] | None = None) -> str:
        """Return the URL to open, with the token.

        Args:
            state: What the page shows, by the names of the fields of `State`.
        """
        return f"{self.url}/?{urlencode({**(state or {}), 'token': self.token})}"


def unused_port() -> int:
    """Return the default port, or 0 (any free port) if another process uses it."""
    with socket.socket() as probe:
        return 0 if probe.connect_ex((LOOPBACK, BROWSER_PORT)) == 0 else BROWSER_PORT


def _require_token(token: str) -> DispatchFunction:
    """Return middleware that exchanges the token in the URL for a cookie, and rejects requests without either.

    Browsers send cookies to all ports of a host (RFC 6265, 8.5), so the name of the cookie has the port. It is also
    sent with links from other pages, such as a report: these only read.
    """

    def is_valid(value: str | None) -> bool:
        return secrets.compare_digest((value or "").encode(), token.encode())

    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        cookie = f"lightmeter-browser-{request.url.port}"
        if request.url.path == "/" and is_valid(request.query_params.get("token")):
            state = urlencode([item for item in request.query_params.multi_items() if item[0] != "token"])
            redirect = RedirectResponse(f"./?{state}" if state else "./", 303)
            redirect.set_cookie(cookie, token, httponly=True, samesite="lax")
            return redirect
        if is_valid(request.cookies.get(cookie)):
            return await call_next(request)
        return error_response(403, "Open the URL that the command printed.")

    return dispatch


def _image(path: str, read: Callable[[str], tuple[bytes, str]]) -> Route:
    def endpoint(request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        if not _SHA256.fullmatch(sha256):
            raise HTTPException(404)
        try:
            data, media_type = read(sha256)
        except Exception as error:  # decoders of damaged files raise nearly anything
            raise HTTPException(404, "The photograph is missing or cannot be decoded.") from error
        return Response(data, media_type=media_type, headers=_IMAGE_HEADERS)

    return Route(path, endpoint)
