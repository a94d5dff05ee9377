"""HTTP connections of the gateway to an engine on loopback, kept open between requests."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import aiohttp

_KEEP_ALIVE_S = 60
_CONNECT_S = 10
_ANSWER_S = 300  # more than a full queue takes; TorchServe never answers a request that its dying worker just took
_TRIES = 2  # a connection that was kept open may have been closed by the engine meanwhile
_FORM_PART = "photo"  # a part with a file name is never decoded as text


class EngineResponse(NamedTuple):
    """Status and body of an engine's response."""

    status: int
    content: bytes


class ConnectionFailed(Exception):
    """The engine cannot be reached, closed the connection, or does not answer in time."""


class EngineConnection:
    """Connections to an engine while the ``async with`` block runs.

    Args:
        answer_s: Time until an answer is complete, with that in the engine's queue.
    """

    def __init__(self, answer_s: float = _ANSWER_S) -> None:
        self._answer_s = answer_s

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._answer_s, sock_connect=_CONNECT_S)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> EngineResponse:
        """Return the response to a GET request.

        Raises:
            ConnectionFailed: There is none.
        """
        return await self._request("GET", url, headers=headers)

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> EngineResponse:
        """Return the response to a POST request.

        Raises:
            ConnectionFailed: There is none.
        """
        return await self._request("POST", url, headers=headers, data=content)

    async def post_form(self, url: str, headers: Mapping[str, str], fields: Mapping[str, bytes]) -> EngineResponse:
        """Return the response to a form, ``multipart/form-data``.

        Raises:
            ConnectionFailed: There is none.
        """
        form = aiohttp.MultipartWriter("form-data")
        for name, value in fields.items():
            part = form.append(value)
            part.set_content_disposition("form-data", quote_fields=False, name=_header_text(name), filename=_FORM_PART)
        return await self._request("POST", url, headers=headers, data=form)

    async def _request(self, method: str, url: str, **arguments: Any) -> EngineResponse:
        for attempt in range(_TRIES):
            try:
                async with self._session.request(method, url, allow_redirects=False, **arguments) as response:
                    return EngineResponse(response.status, await response.read())
            except (aiohttp.ClientError, TimeoutError) as error:
                if attempt == _TRIES - 1 or isinstance(error, TimeoutError):
                    raise ConnectionFailed(str(error)) from error
        raise AssertionError("unreachable")


def _header_text(name: str) -> str:
    """Return the name of a field without the characters that would end it in a header."""
    return "".join(character if character.isprintable() else "_" for character in name)
