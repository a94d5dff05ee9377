"""Whether the head of a Ray cluster answers. Ray itself would wait for a minute and then end the process."""

import os
import socket
import time

from lightmeter.errors import LightmeterError, UsageError

_CONNECT_S = 5.0
_INTERVAL_S = 5.0
_SILENCE_S = 20.0
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # with empty settings
_FRAME_HEADER_BYTES, _SETTINGS_FRAME = 9, 4


class RayHead:
    """The server of a cluster that all others need.

    Args:
        address: Its address, HOST:PORT or ray://HOST:PORT.

    Raises:
        UsageError: The address is no HOST:PORT.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if not host or not port.isdecimal():
            raise UsageError(f"'{address}' is no address of a Ray cluster; use HOST:PORT.")
        self._address, self._host, self._port = address, host.strip("[]"), int(port)
        self._asked = self._answered = time.monotonic()

    def connect(self) -> None:
        """Check that a server that speaks gRPC, as Ray's do, listens at the address.

        Raises:
            LightmeterError: None does.
        """
        try:
            with socket.create_connection((self._host, self._port), _CONNECT_S) as connection:
                is_ray = os.environ.get("RAY_USE_TLS") == "1" or _speaks_http2(connection)
        except (OSError, OverflowError) as error:
            raise unreachable(self._address, getattr(error, "strerror", None) or str(error)) from error
        if not is_ray:
            raise unreachable(self._address, "another service listens there")

    def answers(self) -> bool:
        """Return whether the head answers."""
        try:
            self.connect()
        except LightmeterError:
            return False
        return True

    def check(self) -> None:
        """Ask the head every few seconds whether it still answers.

        Raises:
            LightmeterError: It has not answered for some time.
        """
        now = time.monotonic()
        if now < self._asked + _INTERVAL_S:
            return
        if self.answers():
            self._answered = now
        elif now >= self._answered + _SILENCE_S:
            raise LightmeterError(lost(f"The head of the Ray cluster at {self._address} no longer answers"))
        self._asked = time.monotonic()


def lost(what: str) -> str:
    """Return the message of a cluster that has been lost during the work."""
    return f"{what}. What is finished is stored; start the cluster and run the command again."


def unreachable(address: str | None, reason: str) -> LightmeterError:
    """Return the error for a cluster that cannot be used."""
    return LightmeterError(
        f"Cannot use the Ray cluster at {address or 'this machine'} ({reason.rstrip('.')}); check --address."
    )


def _speaks_http2(connection: socket.socket) -> bool:
    connection.sendall(_HTTP2_GREETING)
    with connection.makefile("rb") as answers:
        header = answers.read(_FRAME_HEADER_BYTES)  # length (3 bytes), type, flags and stream of the first frame
    return header[3:4] == bytes((_SETTINGS_FRAME,)) and len(header) == _FRAME_HEADER_BYTES
