"""Server of the review page: loopback only, with a token, serving one queue to one user."""

import io
import re
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, DispatchFunction, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.harvest.store import path_of
from lightmeter.images.geometry import Box
from lightmeter.images.metadata import strip_metadata
from lightmeter.images.reader import display_image, open_image, pixel_orientation
from lightmeter.labels.review.boxes import BOX_KINDS
from lightmeter.labels.review.queues import Queue
from lightmeter.labels.review.session import Session, StaleError
from lightmeter.project import Project
from lightmeter.web import LocalServer, error_response, local_app, page_routes, read_body

_PAGE = Path(__file__).parent / "page"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_SECURITY_POLICY = "default-src 'self'; frame-ancestors 'none'"
_MAX_BODY_BYTES = 10_000
_IMAGE_HEADERS = {"Cache-Control": "private, max-age=3600"}
_ROTATED_BY_BROWSERS = ("JPEG", "MPO")
_SHOWN_BY_BROWSERS = (*_ROTATED_BY_BROWSERS, "PNG", "GIF", "WEBP")
_THUMBNAIL_SIDE = 320

Id = Annotated[int, Field(ge=0, lt=2**63)]


class ReviewServer(LocalServer):
    """Serve one queue to one user while the ``with`` block runs.

    Args:
        project: The project.
        queue: Photographs to review.
        session: Session of the user.
        port: Port to bind; 0 for any free port.

    Attributes:
        token: Token that a browser must present once, in the page's URL.
    """

    def __init__(self, project: Project, queue: Queue, session: Session, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        routes = [
            *page_routes(_PAGE),
            *_api_routes(queue, session),
            _image("/photo/{sha256}", partial(_original, project.store)),
            _image("/thumbnail/{sha256}", partial(_thumbnail, project.store, project.state / "thumbnails")),
        ]
        protected = Mount(
            "/", routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=_require_token(self.token))]
        )
        super().__init__(local_app([protected], content_security_policy=_CONTENT_SECURITY_POLICY), port)

    @property
    def page_url(self) -> str:
        """URL to open, with the token."""
        return f"{self.url}/?token={self.token}"


def _require_token(token: str) -> DispatchFunction:
    """Return middleware that exchanges the token in the URL for a cookie, and rejects requests without either.

    Browsers send cookies to all ports of a host (RFC 6265, 8.5), so the name of the cookie has the port.
    """

    def is_valid(value: str | None) -> bool:
        return secrets.compare_digest((value or "").encode(), token.encode())

    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        cookie = f"lightmeter-review-{request.url.port}"
        if request.url.path == "/" and is_valid(request.query_params.get("token")):
            redirect = RedirectResponse("/", 303)
            redirect.set_cookie(cookie, token, httponly=True, samesite="strict")
            return redirect
        if is_valid(request.cookies.get(cookie)):
            return await call_next(request)
        return error_response(403, "Open the URL that the command printed.")

    return dispatch


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _PhotographRequest(_Message):
    image: Id


class _PageRequest(_Message):
    after: Id = 0
    limit: int = Field(48, ge=0, le=200)


class _LabelRequest(_PhotographRequest):
    value: str | None
    seen: str | None


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
        _action("/api/label", _LabelRequest, lambda m: session.label(m.image, m.value, m.seen)),
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
        try:
            return JSONResponse({"image": await run_in_threadpool(edit, message)})
        except StaleError as error:
            raise HTTPException(409, str(error)) from error

    return Route(path, endpoint, methods=["POST"])


def _validate(model: type[M], values: bytes | Mapping[str, str]) -> M:
    try:
        return model.model_validate_json(values) if isinstance(values, bytes) else model.model_validate(dict(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UsageError(f"Invalid request: {'.'.join(map(str, problem['loc']))}: {problem['msg']}.") from error


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


def _original(store: Path, sha256: str) -> tuple[bytes, str]:
    """Return a photograph without metadata and its media type, as PNG if browsers might not show it upright.

    Raises:
        OSError: The file is missing or cannot be decoded.
    """
    data = path_of(store, sha256).read_bytes()
    with open_image(data) as image:
        upright = image.format in _ROTATED_BY_BROWSERS or pixel_orientation(image) == 1
        if image.format in _SHOWN_BY_BROWSERS and upright:
            return strip_metadata(data).data, "image/jpeg" if image.format in _ROTATED_BY_BROWSERS else Image.MIME[
                image.format
            ]
        out = io.BytesIO()
        display_image(image).save(out, "PNG")
    return out.getvalue(), "image/png"


def _thumbnail(store: Path, cache: Path, sha256: str) -> tuple[bytes, str]:
    """Return a small upright JPEG of a photograph, from the cache if possible.

    Raises:
        OSError: The file is missing or cannot be decoded.
    """
    file = cache / f"{sha256}.jpg"
    if not file.is_file():
        out = io.BytesIO()
        display_image(path_of(store, sha256), _THUMBNAIL_SIDE).save(out, "JPEG", quality=85)
        write_atomic(file, out.getvalue())
    return file.read_bytes(), "image/jpeg"
