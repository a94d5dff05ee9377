"""Servers on loopback that imitate the API of a service."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support import HttpRequest, HttpResponse, LoopbackServer


class ApiServer(LoopbackServer):
    """A server that answers each request with the result of a function, and records all requests.

    Attributes:
        requests: All requests; their paths have no query.
    """

    def __init__(self, respond: Callable[[HttpRequest], HttpResponse]) -> None:
        self.requests: list[HttpRequest] = []

        def record_and_respond(request: HttpRequest) -> HttpResponse:
            request.path = urlsplit(request.path).path
            self.requests.append(request)
            response = respond(request)
            response.headers.setdefault("Content-Type", "application/json")
            return response

        super().__init__(record_and_respond)


@contextmanager
def serve_api(respond: Callable[[HttpRequest], HttpResponse]) -> Iterator[ApiServer]:
    """Run a server within the block."""
    api = ApiServer(respond)
    try:
        yield api
    finally:
        api.close()
