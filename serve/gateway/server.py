"""Run the gateway: listen, keep the engine running, and end without cutting a request."""

import asyncio
import math
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightmeter.connections import TimedProtocol
from lightmeter.errors import UsageError
from lightmeter.web import LOOPBACK

DRAIN_S = 120
"""Time for requests that were accepted before a stop, in seconds; as long as a model may take for one request."""

_NEW_CONNECTION_S = 1.0  # for a request that is under way on an open connection
_KEEP_ALIVE_S = 75  # longer than proxies keep idle connections, so that they close them first
_BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Args:
        host: Host name or address (IPv4 or IPv6).
        port: Port; 0 for any free port.

    Raises:
        UsageError: The address cannot be bound.
    """
    if not host:  # which would mean every address of the machine
        raise UsageError("The host is empty; set one, such as 127.0.0.1.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"The host {host!r} is no address of this machine ({_reason(error)}); set another, such as 127.0.0.1."
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"{host} port {port} cannot be bound ({_reason(error)}); choose another --port, or another host."
        ) from error
    return listener


def url_of(host: str, port: int) -> str:
    """Return the URL of a port; IPv6 addresses are put in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_url_of(host: str, port: int) -> str:
    """Return the URL at which this machine reaches a port of a host that is listened on."""
    return url_of({"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host), port)  # noqa: S104 - compared, not bound


Task = Callable[[], Coroutine[Any, Any, None]]


def run(
    app: ASGIApp,
    listener: socket.socket,
    tasks: Sequence[Task] = (),
    resource: AbstractAsyncContextManager[object] | None = None,
) -> float:
    """Serve an application until SIGTERM, SIGINT or SIGHUP, and then answer the requests that were accepted.

    Args:
        app: The application.
        listener: The listening socket; it is closed.
        tasks: Coroutine functions that run beside the server, such as one that watches the engine. If one of them
            raises an exception, the server ends.
        resource: What the application and the tasks need, such as connections; closed after the last response.

    Returns:
        How much of the time for accepted requests, `DRAIN_S`, is left.

    Raises:
        Exception: That of the task.
    """

    async def serve() -> float:
        async with resource or nullcontext():
            return await _serve(app, listener, tasks)

    return asyncio.run(serve())


async def _serve(app: ASGIApp, listener: socket.socket, tasks: Sequence[Task]) -> float:
    closing = _CloseConnections(app)
    config = uvicorn.Config(
        closing,
        loop="asyncio",
        http=TimedProtocol,  # with h11: httptools drops the body of a request that offers HTTP/2
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _DrainingServer(config, closing)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup does with SIGHUP
            loop.add_signal_handler(number, server.stop)
    beside = [asyncio.create_task(_end_server_on_failure(task, server)) for task in tasks]
    try:
        await server.serve_on(listener)
    finally:
        for task in beside:
            task.cancel()
        results = await asyncio.gather(*beside, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return 0.0 if server.force_exit else max(0.0, server.stop_time + DRAIN_S - time.monotonic())


async def _end_server_on_failure(task: Task, server: "_DrainingServer") -> None:
    try:
        await task()
    except Exception:
        server.stop(force=True)
        raise


class _CloseConnections:
    """ASGI middleware that asks clients to close their connections once the server is ending."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.active = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if self.active and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, send_with_header)


class _DrainingServer(uvicorn.Server):
    """uvicorn, which closes connections whose request is still under way; this server waits for them."""

    def __init__(self, config: uvicorn.Config, closing: _CloseConnections) -> None:
        super().__init__(config)
        self._closing = closing
        self._listener: socket.socket | None = None
        self.stop_time = -math.inf

    async def serve_on(self, listener: socket.socket) -> None:
        """Serve until `stop` is called."""
        listener.settimeout(0)
        self._listener = listener
        await self._serve([listener])  # not `serve`, which handles signals and ends by them

    def stop(self, *, force: bool = False) -> None:
        """End the server after the requests that were accepted; at once if forced, or if called again."""
        self.force_exit = force or self.should_exit
        if not self.should_exit:
            self.stop_time = time.monotonic()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the connections that clients have made, and give each the time to send its request."""
        self._closing.active = True
        await self._accept_waiting()
        loop = asyncio.get_running_loop()
        end = loop.time() + _NEW_CONNECTION_S
        connections = self.server_state.connections
        while not self.force_exit and loop.time() < end and any(map(_is_idle, connections)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    async def _accept_waiting(self) -> None:
        """Take over every connection in the backlog, which closing the socket would reset, and then close it."""
        listener = self._listener
        if listener is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.fileno())
        connections = []
        with suppress(OSError):  # BlockingIOError: no connection waits
            while True:
                connections.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        listener.close()
        for connection in connections:
            connection.settimeout(0)
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        config: Any = self.config
        protocol: asyncio.Protocol = config.http_protocol_class(
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _is_idle(connection: Any) -> bool:
    """Return whether no request is being answered on a connection."""
    return connection.cycle is None or connection.cycle.response_complete


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is no host name"
