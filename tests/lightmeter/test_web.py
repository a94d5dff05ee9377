"""The base of local web applications: host check, headers, body limit, JSON errors, port."""

import doctest
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lightmeter import web
from lightmeter.errors import LightmeterError, UsageError
from lightmeter.web import LocalServer, local_app, page_routes, read_body

MAX_BYTES = 1000


async def echo_length(request: Request) -> Response:
    return JSONResponse({"length": len(await read_body(request, MAX_BYTES))})


async def raise_error(request: Request) -> Response:
    raise {"usage": UsageError, "other": LightmeterError}[request.path_params["kind"]]("It failed.")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<h1>Page</h1>")
    (folder / "page.js").write_text("'use strict'")
    routes = [
        *page_routes(folder),
        Route("/echo", echo_length, methods=["POST"]),
        Route("/error/{kind}", raise_error),
    ]
    with LocalServer(local_app(routes, content_security_policy="default-src 'none'")) as server:
        yield server.url


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


def test_page_files_are_served_with_their_type(url: str) -> None:
    assert get(url).text == "<h1>Page</h1>"
    assert get(url).headers["content-type"].startswith("text/html")
    assert "javascript" in get(f"{url}/page.js").headers["content-type"]
    assert get(f"{url}/other.js").status_code == 404
    assert get(f"{url}/..%2fpyproject.toml").status_code == 404


@pytest.mark.parametrize("path", ["/", "/nothing", "/error/usage", "/error/other"])
def test_every_response_has_security_headers(url: str, path: str) -> None:
    headers = get(url + path).headers

    assert headers["content-security-policy"] == "default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("localhost", 200), ("localhost:1", 200), ("elsewhere.example", 400), ("127.0.0.1.evil", 400)],
)
def test_only_loopback_hosts_are_answered(url: str, host: str, status: int) -> None:
    assert get(url, Host=host).status_code == status


@pytest.mark.parametrize(("size", "status"), [(MAX_BYTES, 200), (MAX_BYTES + 1, 413), (10_000_000, 413)])
def test_body_larger_than_the_limit_is_refused(url: str, size: int, status: int) -> None:
    response = httpx.post(f"{url}/echo", content=bytes(size), trust_env=False)

    assert response.status_code == status
    if status == 413:
        assert response.json()["error"]["status"] == 413


def test_body_without_length_is_limited_too(url: str) -> None:
    chunks = (bytes(400) for _ in range(5))

    assert httpx.post(f"{url}/echo", content=chunks, trust_env=False).status_code == 413


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [("/error/usage", 400, "It failed."), ("/error/other", 503, "It failed."), ("/nothing", 404, "Not Found")],
)
def test_errors_are_json(url: str, path: str, status: int, reason: str) -> None:
    response = get(url + path)

    assert response.status_code == status
    assert response.json() == {"error": {"status": status, "reason": reason}}


def test_port_in_use_raises_usage_error() -> None:
    with LocalServer(local_app([])) as server, pytest.raises(UsageError, match=f"Port {server.port} cannot be bound"):
        LocalServer(local_app([]), server.port)


def test_server_stops_at_the_end_of_the_block(tmp_path: Path) -> None:
    with LocalServer(local_app([])) as server:
        assert get(server.url).status_code == 404

    with pytest.raises(httpx.ConnectError):
        get(server.url)


def test_documented_example_works() -> None:
    assert doctest.testmod(web) == doctest.TestResults(failed=0, attempted=1)
