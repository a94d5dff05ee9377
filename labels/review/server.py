"""The review page's server: this machine only, with a token, and for its own address only."""

import json
import re
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lightmeter.errors import UsageError
from lightmeter.labels.review.boxes import Box
from lightmeter.labels.review.queues import Queue, classes_in_use, details
from lightmeter.labels.review.regions import KINDS
from lightmeter.labels.review.session import Session
from lightmeter.labels.review.thumbnails import original, small
from lightmeter.project import Project

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
}
_HASH = re.compile(r"/(photo|small)/([0-9a-f]{64})")
_COOKIE = "lightmeter-review"
_MOST_BYTES = 10_000
_MOST_ON_A_PAGE = 200
_MOST_NUMBER = 2**63
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class ReviewServer(ThreadingHTTPServer):
    """Serves one queue to one person.

    Args:
        project: whose photographs are shown.
        queue: which photographs.
        session: who judges.
        port: 0 for any free one.
    """

    daemon_threads = True

    def __init__(self, project: Project, queue: Queue, session: Session, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.project, self.queue, self.session = project, queue, session
        self.token = secrets.token_urlsafe(24)
        with session.engine.connect() as connection:
            self.classes = session.target.classes or classes_in_use(connection, session.target.name)

    @property
    def hosts(self) -> tuple[str, str]:
        """The addresses under which the page may be called; others are another site's doing (DNS rebinding)."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        return f"http://{self.hosts[0]}/?token={self.token}"


class _Refused(Exception):
    """A request that is not answered."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: addresses carry the token."""

    def _answer(self, act: Callable[[], None]) -> None:
        self._unread = self.command == "POST"
        try:
            self._check_host()
            act()
        except _Refused as error:
            self._send(str(error).encode(), "text/plain", error.status)
        except (UsageError, ValueError, KeyError, TypeError) as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except ConnectionError:
            self.close_connection = True  # the page was left while this was sent
        except OSError:
            self._send(b"not here", "text/plain", HTTPStatus.NOT_FOUND)

    def _get(self) -> None:
        where = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(where.query).items()}
        if where.path == "/" and secrets.compare_digest(asked.get("token", ""), self.server.token):
            self._welcome()
            return
        self._know()
        picture = _HASH.fullmatch(where.path)
        if picture:
            self._send_picture(picture[1], picture[2])
        elif where.path == "/api/queue":
            self._send_page(_whole(asked.get("after", 0)), _whole(asked.get("limit", 48)))
        elif where.path == "/api/photograph":
            self._send_photograph(_whole(asked["image"]))
        elif where.path == "/favicon.ico":
            self._send(b"", "image/x-icon", HTTPStatus.NO_CONTENT)
        elif where.path in _FILES:
            name, kind = _FILES[where.path]
            self._send((_PAGE / name).read_bytes(), kind)
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "not here")

    def _post(self) -> None:
        self._know()
        if self.headers.get("Content-Type") != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON only")
        length = _whole(self.headers.get("Content-Length", 0))
        if length > _MOST_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
        asked = json.loads(self.rfile.read(length))
        self._unread = False
        actions = {
            "/api/label": self._label,
            "/api/box": self._box,
            "/api/unbox": self._unbox,
            "/api/undo": self._undo,
        }
        if self.path not in actions:
            raise _Refused(HTTPStatus.NOT_FOUND, "not here")
        self._send_json(actions[self.path](asked))

    def _label(self, asked: dict[str, Any]) -> dict[str, Any]:
        value = asked["value"]
        if not (value is None or isinstance(value, str)):
            raise UsageError("A class is a word.")
        self.server.session.label(_whole(asked["image"]), value)
        return {"image": asked["image"], "value": value}

    def _box(self, asked: dict[str, Any]) -> dict[str, Any]:
        box = Box(*(_whole(asked[name]) for name in Box._fields))
        other = asked.get("instead_of")
        self.server.session.box(_whole(asked["image"]), asked["kind"], box, None if other is None else _whole(other))
        return {"image": asked["image"]}

    def _unbox(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.server.session.unbox(_whole(asked["image"]), asked["kind"], _whole(asked["box"]))
        return {"image": asked["image"]}

    def _undo(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"image": self.server.session.undo()}

    def _check_host(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            raise _Refused(HTTPStatus.FORBIDDEN, "wrong host")

    def _know(self) -> None:
        """Refuse whoever has not come by the address with the token."""
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get(_COOKIE)
        if cookie is None or not secrets.compare_digest(cookie.value, self.server.token):
            raise _Refused(HTTPStatus.FORBIDDEN, "open the address that the command printed")

    def _welcome(self) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Set-Cookie", f"{_COOKIE}={self.server.token}; HttpOnly; SameSite=Strict; Path=/")
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_page(self, after: int, limit: int) -> None:
        session, queue = self.server.session, self.server.queue
        with session.engine.connect() as connection:
            photographs = queue.page(connection, after, min(limit, _MOST_ON_A_PAGE))
        self._send_json(
            {
                "target": session.target.name,
                "classes": self.server.classes,
                "multiple": session.target.multilabel,
                "boxes": KINDS,
                "total": queue.total,
                "photographs": photographs,
            }
        )

    def _send_photograph(self, image: int) -> None:
        session = self.server.session
        with session.engine.connect() as connection:
            self._send_json(details(connection, image, session.target.name, session.crops))

    def _send_picture(self, kind: str, sha256: str) -> None:
        project = self.server.project
        if kind == "small":
            data, media_type = small(project.store, project.state / "small", sha256), "image/jpeg"
        else:
            data, media_type = original(project.store, sha256)
        self._send(data, media_type, cache="private, max-age=3600")

    def _send_json(self, document: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(document, default=str).encode(), "application/json", status)

    def _send(self, data: bytes, media_type: str, status: HTTPStatus = HTTPStatus.OK, cache: str = "no-store") -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": media_type, "Cache-Control": cache}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        if self._unread:
            self.send_header("Connection", "close")  # what nobody read would pass for the next request
        self.end_headers()
        self.wfile.write(data)


def _whole(value: object) -> int:
    """Read a number that a data base can have."""
    number = int(str(value))
    if not 0 <= number < _MOST_NUMBER:
        raise UsageError(f"{value} is out of range.")
    return number
