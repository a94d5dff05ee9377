"""A gateway that is stopped cuts no request; the trial with TorchServe is ``python -m benchmarks.reliability.serve_reliability``."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx
import pytest

from lightmeter.web import free_port
from tests.serve.support import HTTP
from tests.support import wait_until

ROOT = Path(__file__).resolve().parents[3]


class Replica:
    """A gateway in a process of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.serve.gateway.replica", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        wait_until(self.ready)

    def ready(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()[1]
        with suppress(httpx.HTTPError):
            return HTTP.get(f"{self.url}/ping").status_code == 200
        return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        _, error = self.process.communicate(timeout=30)
        assert (self.process.returncode, error) == (0, "")


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    replicas = [Replica(), Replica()]
    yield replicas
    for replica in replicas:
        replica.process.kill()
        replica.process.communicate()


def test_restarts_under_load_reset_no_connection(replicas: list[Replica]) -> None:
    outcomes: Counter[str] = Counter()
    finished = threading.Event()

    def send(number: int) -> str:
        """Send a request to one replica, or to the other one if the first does not listen."""
        for attempt in range(40):
            connection = HTTPConnection("127.0.0.1", replicas[(number + attempt) % 2].port, timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                continue
            try:
                connection.request("POST", "/predictions/m", bytes(50_000))
                response = connection.getresponse()
                return f"{response.status} {json.load(response)['bytes']}"
            except (OSError, HTTPException) as error:
                return repr(error)
            finally:
                connection.close()
        return "no replica"

    def work(number: int) -> None:
        while not finished.is_set():
            outcomes[send(number)] += 1

    clients = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for client in clients:
        client.start()
    try:
        for number in range(3):
            replicas[number % 2].stop()
            replicas[number % 2].start()
    finally:
        finished.set()
        for client in clients:
            client.join()

    assert set(outcomes) == {"200 50000"}
    assert outcomes.total() > 12


def test_connection_without_a_request_yet_is_answered(replicas: list[Replica]) -> None:
    (replica, _) = replicas
    with socket.create_connection(("127.0.0.1", replica.port)) as connection:
        wait_until(lambda: HTTP.get(f"{replica.url}/ping").status_code == 200)
        replica.process.send_signal(signal.SIGTERM)
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        response = connection.makefile("rb").read()

    assert response.startswith(b"HTTP/1.1 200")
    assert replica.process.wait(10) == 0


def test_idle_connections_do_not_delay_the_end(replicas: list[Replica]) -> None:
    (replica, _) = replicas
    with httpx.Client(trust_env=False) as client:
        client.get(f"{replica.url}/ping")  # its connection stays open
        replica.stop()


def test_request_with_two_lengths_is_answered_once(replicas: list[Replica]) -> None:
    (replica, _) = replicas
    smuggled = b"POST /predictions/m HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    request = (
        b"POST /predictions/m HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", replica.port)) as connection:
        connection.sendall(request % (5 + len(smuggled)) + smuggled)
        connection.settimeout(20)
        received = b""
        while chunk := connection.recv(4096):
            received += chunk
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"HTTP/1.1") == 1


def test_headers_lose_no_body_and_have_a_limit(replicas: list[Replica]) -> None:
    def response_to(headers: bytes) -> bytes:
        head = b"POST /predictions/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5000\r\n"
        with socket.create_connection(("127.0.0.1", replicas[0].port)) as connection:
            connection.settimeout(20)
            received = b""
            with suppress(ConnectionError):
                connection.sendall(head + headers + b"\r\n\r\n" + bytes(5000))
            with suppress(ConnectionError):
                while chunk := connection.recv(4096):
                    received += chunk
        return received

    offered_by_java = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
    assert b'"bytes": 5000' in response_to(offered_by_java)
    assert b'"bytes": 5000' in response_to(b"Expect: 100-continue")
    assert b"200 OK" not in response_to(b"Long: " + b"x" * 1_000_000)
