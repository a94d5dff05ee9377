"""Server of the review page: loopback only, with a token, serving one queue to one person."""

import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lightmeter.errors import UsageError
from lightmeter.geometry import Box
from lightmeter.labels.review.boxes import BOX_KINDS
from lightmeter.labels.review.queues import Queue
from lightmeter.labels.review.session import Session
from lightmeter.labels.review.thumbnails import original, thumbnail
from lightmeter.project import Project
from lightmeter.web import LocalServer, error_response, local_app, page_routes, read_body

_PAGE = Path(__file__).parent / "page"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COOKIE = "lightmeter-review"
_CONTENT_SECURITY_POLICY = "default-src 'self'; frame-ancestors 'none'"
_MAX_BODY_BYTES = 10_000
_IMAGE_HEADERS = {"Cache-Control": "private, max-age=3600"}

Id = Annotated[int, Field(ge=0, lt=2**63)]


class ReviewServer(LocalServer):
    """Serve one queue to one person while the ``with`` block runs.

    Args:
        project: The project.
        queue: Photographs to review.
        session: The person's session.
        port: Port to bind; 0 for any free port.

    Attributes:
        token: Token that a browser must present once, in the page's URL.
    """

    def __init__(self, project: Project, queue: Queue, session: Session, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        routes = [*page_routes(_PAGE), *_api_routes(queue, session), *_image_routes(project)]
        protected = Mount("/", routes=routes, middleware=[Middleware(_RequireToken, token=self.token)])
        super().__init__(local_app([protected], content_security_policy=_CONTENT_SECURITY_POLICY), port)

    @property
    def page_url(self) -> str:
        """URL to open, with the token."""
        return f"{self.url}/?token={self.token}"


class _RequireToken:
    """ASGI middleware that exchanges the token in the URL for a cookie, and rejects requests without either."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if request.url.path == "/" and self._is_valid(request.query_params.get("token")):
            redirect = RedirectResponse("/", 303)
            redirect.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
            await redirect(scope, receive, send)
        elif self._is_valid(request.cookies.get(_COOKIE)):
            await self._app(scope, receive, send)
        else:
            await error_response(403, "Open the URL that the command printed.")(scope, receive, send)

    def _is_valid(self, token: str | None) -> bool:
        return secrets.compare_digest((token or "").encode(), self._token.encode())


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _PhotographRequest(_Message):
    image: Id


class _PageRequest(_Message):
    after: Id = 0
    limit: int = Field(48, ge=0, le=200)


class _LabelRequest(_PhotographRequest):
    value: str | None


class _BoxRequest(_PhotographRequest):
    kind: str
    x: Id
    y: Id
    width: Id
    height: Id
    replaces: Id | None = None

    def area(self) -> Box:
        return Box(self.x, self.y, self.width, self.height)


class _RemoveBoxRequest(_PhotographRequest):
    kind: str
    box: Id


M = TypeVar("M", bound=_Message)


def _api_routes(queue: Queue, session: Session) -> list[BaseRoute]:
    classes = session.classes()

    def page(request: Request) -> Response:
        message = _validate(_PageRequest, request.query_params)
        with session.engine.connect() as connection:
            photographs = queue.page(connection, message.after, message.limit)
        return JSONResponse(
            {
                "target": session.target.name,
                "classes": classes,
                "multilabel": session.target.multilabel,
                "box_kinds": BOX_KINDS,
                "total": queue.total,
                "photographs": photographs,
            }
        )

    def photograph(request: Request) -> Response:
        return JSONResponse(session.details(_validate(_PhotographRequest, request.query_params).image))

    return [
        Route("/api/queue", page),
        Route("/api/photograph", photograph),
        _action("/api/label", _LabelRequest, lambda m: session.label(m.image, m.value)),
        _action("/api/box", _BoxRequest, lambda m: session.add_box(m.image, m.kind, m.area(), m.replaces)),
        _action("/api/remove-box", _RemoveBoxRequest, lambda m: session.remove_box(m.image, m.kind, m.box)),
        _action("/api/undo", _Message, lambda _: session.undo()),
    ]


def _action(path: str, model: type[M], edit: Callable[[M], int | None]) -> Route:
    """Return the route of an edit: a JSON message in, the id of the edited image out."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("Content-Type") != "application/json":
            raise HTTPException(415, "The Content-Type must be application/json.")
        message = _validate(model, await read_body(request, _MAX_BODY_BYTES))
        return JSONResponse({"image": await run_in_threadpool(edit, message)})

    return Route(path, endpoint, methods=["POST"])


def _validate(model: type[M], values: bytes | Mapping[str, str]) -> M:
    try:
        return model.model_validate_json(values) if isinstance(values, bytes) else model.model_validate(dict(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UsageError(f"Invalid request: {'.'.join(map(str, problem['loc']))}: {problem['msg']}.") from error


def _image_routes(project: Project) -> list[BaseRoute]:
    cache = project.state / "thumbnails"
    return [
        _image("/photo/{sha256}", lambda sha256: original(project.store, sha256)),
        _image("/thumbnail/{sha256}", lambda sha256: (thumbnail(project.store, cache, sha256), "image/jpeg")),
    ]


def _image(path: str, read: Callable[[str], tuple[bytes, str]]) -> Route:
    def endpoint(request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        if not _SHA256.fullmatch(sha256):
            raise HTTPException(404)
        try:
            data, media_type = read(sha256)
        except OSError as error:
            raise HTTPException(404, "The photograph is missing or cannot be decoded.") from error
        return Response(data, media_type=media_type, headers=_IMAGE_HEADERS)

    return Route(path, endpoint)
