"""Clients that are slow or gone lose their connection; those that only wait do not."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lightmeter import connections
from lightmeter.web import LocalServer, local_app, read_body

PAUSE_S, SIZE = 0.2, 50_000_000
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def answer(request: Request) -> Response:
    await asyncio.sleep(2 * PAUSE_S)
    return PlainTextResponse(await read_body(request, 100))


async def much(_: Request) -> Response:
    return Response(bytes(SIZE))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setattr(connections, "MAX_PAUSE_S", PAUSE_S)
    monkeypatch.setattr(connections, "MAX_REQUEST_S", 4 * PAUSE_S)
    routes = [Route("/", answer, methods=["GET", "POST"]), Route("/much", much)]
    with LocalServer(local_app(routes)) as server:
        yield server


def connect(server: LocalServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def is_closed(client: socket.socket) -> bool:
    """Return whether the server has closed a connection, or closes it now; otherwise the time runs out."""
    return received(client) == 0


def received(client: socket.socket) -> int:
    """Return the number of bytes until the server closes a connection."""
    count = 0
    with suppress(ConnectionError):
        while data := client.recv(1 << 20):
            count += len(data)
    return count


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"\r\nab"], ids=["nothing", "half a head", "half a body"])
def test_unfinished_request_loses_its_connection(server: LocalServer, sent: bytes) -> None:
    with connect(server) as client:
        client.sendall(sent)
        assert is_closed(client)


def test_endless_request_loses_its_connection(server: LocalServer) -> None:
    with connect(server) as client:
        client.sendall(HEAD)
        end = time.monotonic() + 10
        with suppress(ConnectionError):
            while time.monotonic() < end:
                client.sendall(b"X: x\r\n")
                time.sleep(PAUSE_S / 4)
        assert is_closed(client)


def test_client_that_reads_nothing_loses_its_connection(server: LocalServer) -> None:
    with connect(server) as client:
        client.sendall(GET.replace(b"/", b"/much", 1))
        time.sleep(3 * PAUSE_S)
        assert received(client) < SIZE


def test_client_that_waits_is_answered(server: LocalServer) -> None:
    with connect(server) as client:
        for _ in range(2):
            client.sendall(HEAD + b"\r\nabcd")
            assert client.recv(10_000).endswith(b"abcd")
            time.sleep(2 * PAUSE_S)
