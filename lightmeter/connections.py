"""HTTP connections of servers: clients that are too slow or gone, and requests that can be read in two ways.

uvicorn waits for ever for the rest of a request, and for a client that does not read its response. It accepts a request
with two lengths, whose body another program on the way may end elsewhere (RFC 9112, section 6.3).
"""

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_PAUSE_S = 30.0
"""Longest pause of a client within a request, or while its response is sent."""

MAX_REQUEST_S = 600.0
"""Longest time in which a request arrives."""


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with limits on the time of clients; that of the application has none.

    A request with both ``Content-Length`` and ``Transfer-Encoding`` is answered with 400, and its connection closed.
    Between requests uvicorn's own limit applies, ``timeout_keep_alive``.
    """

    _timer: asyncio.TimerHandle | None = None
    _unsent = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = _refuse_two_lengths(self.app)

    def connection_made(self, transport: Any) -> None:
        """Watch a new connection."""
        super().connection_made(transport)
        self._begun = self._progress = self.loop.time()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Note that the client has sent something."""
        self._progress = self.loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End watching."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._progress = unsent, now
        elif not unsent and not self._waits_for_client():
            self._begun = self._progress = now
        if now - self._progress > MAX_PAUSE_S or now - self._begun > MAX_REQUEST_S:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(min(MAX_PAUSE_S, MAX_REQUEST_S) / 4, self._watch)

    def _waits_for_client(self) -> bool:
        """Return whether the next bytes of a request are awaited."""
        cycle: Any = self.cycle
        answering = cycle is not None and not cycle.response_complete and not cycle.more_body
        return not (answering or self.flow.read_paused or self.timeout_keep_alive_task is not None)


def _refuse_two_lengths(app: ASGIApp) -> ASGIApp:
    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        names = {name for name, _ in scope.get("headers", ())}
        if not names >= {b"content-length", b"transfer-encoding"}:
            await app(scope, receive, send)
            return
        reason = "The request has both Content-Length and Transfer-Encoding."
        body = json.dumps({"error": {"status": 400, "reason": reason}}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return checked
