"""Private sites: headers and cookies by host, secrets from variables and files, and a proxy."""

from pathlib import Path

import pytest
from scrapy import Request

from lightmeter.errors import UsageError
from lightmeter.harvest.crawl.sites.site_access import SiteAccessMiddleware, site_access
from lightmeter.project import Project
from tests.support import LOOPBACK, CommandRunner, HttpRequest, HttpResponse, LoopbackServer, jpeg, run_error, run_json

SETTINGS = """
[crawl.sites."127.0.0.1:{port}"]
headers = {{ Authorization = "env:MUSEUM_TOKEN", X-Room = "4" }}
cookies = "cookies.txt"
"""
COOKIES = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tabc\n"


def write_cookies(folder: Path, mode: int = 0o600) -> None:
    (folder / "cookies.txt").write_text(COOKIES)
    (folder / "cookies.txt").chmod(mode)


def test_private_photographs_are_downloaded_and_other_hosts_get_no_secret(
    lightmeter: CommandRunner, project: Path
) -> None:
    received: list[tuple[int, dict[str, str]]] = []

    def respond(request: HttpRequest) -> HttpResponse:
        received.append((1, request.headers))
        if "robots" in request.path or "tdmrep" in request.path:
            return HttpResponse(b"", 404)
        if request.headers.get("Authorization") != "Bearer s3cret" or "session=abc" not in request.headers["Cookie"]:
            return HttpResponse(b"", 403)
        if request.path == "/moved.jpg":
            return HttpResponse(b"", 302, headers={"Location": f"{other.url}/b.jpg"})
        return HttpResponse(jpeg(1), headers={"Content-Type": "image/jpeg"})

    def respond_elsewhere(request: HttpRequest) -> HttpResponse:
        received.append((2, request.headers))
        return HttpResponse(jpeg(2), 404 if "." not in request.path or "robots" in request.path else 200)

    museum, other = LoopbackServer(respond), LoopbackServer(respond_elsewhere)
    with (project / "lightmeter.toml").open("a") as file:
        file.write(SETTINGS.format(port=museum.url.rpartition(":")[2]))
    write_cookies(project)
    (project / "urls.txt").write_text(f"{museum.url}/a.jpg\n{museum.url}/moved.jpg\n")
    command = ("harvest", "run", "urls", project / "urls.txt")
    counts = lightmeter(*command, env=LOOPBACK | {"MUSEUM_TOKEN": "Bearer s3cret"})
    assert counts["fetched"] == 2
    assert any(headers.get("X-Room") == "4" for server, headers in received if server == 1)
    elsewhere = [headers for server, headers in received if server == 2]
    assert elsewhere
    assert not any({"Authorization", "Cookie", "X-Room"} & headers.keys() for headers in elsewhere)
    assert "s3cret" not in "".join(
        file.read_text(errors="replace") for file in (project / ".lightmeter").rglob("*.log")
    )
    for server in (museum, other):
        server.close()


def test_headers_leave_with_the_host(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    (project / "lightmeter.toml").write_text('[crawl.sites."a.example"]\nheaders = { X-Key = "env:TOKEN" }\n')
    middleware = SiteAccessMiddleware(site_access(Project(project)))
    request = Request("https://A.example/1.jpg")
    middleware.process_request(request)
    assert request.headers["X-Key"] == b"s3cret"
    redirected = request.replace(url="https://b.example/1.jpg")
    middleware.process_request(redirected)
    assert "X-Key" not in redirected.headers


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('Cookie = "session=abc"', "Keep Cookie out of the settings"),
        ('authorization = "Bearer abc"', "Keep authorization out of the settings"),
        ('X-Key = "env:NO_SUCH_VARIABLE"', "Set the environment variable NO_SUCH_VARIABLE"),
        ('X-Key = "file:missing.txt"', "missing.txt cannot be read"),
        ('X-Key = "file:cookies.txt"', "chmod 600"),
        ('X-Key = """a\nb"""', "several lines"),
    ],
)
def test_secrets_stay_out_of_settings_and_of_files_that_others_read(project: Path, header: str, message: str) -> None:
    write_cookies(project, 0o644)
    (project / "lightmeter.toml").write_text(f'[crawl.sites."a.example".headers]\n{header}\n')
    with pytest.raises(UsageError, match=message):
        site_access(Project(project))


def test_missing_secret_leaves_no_failed_run(project: Path) -> None:
    write_cookies(project, 0o600)
    with (project / "lightmeter.toml").open("a") as settings:
        settings.write('\n[crawl.sites."a.example".headers]\nX-Key = "env:NO_SUCH_VARIABLE"\n')
    assert "NO_SUCH_VARIABLE" in run_error("harvest", "run", "urls", project / "cookies.txt", "--metadata-only")
    assert run_json("catalogue", "info")["rows"]["runs"] == 0


def test_proxy_is_used_for_every_request_and_never_shown(lightmeter: CommandRunner, project: Path) -> None:
    requested: list[str] = []

    def respond(request: HttpRequest) -> HttpResponse:
        requested.append(request.path)
        return HttpResponse(jpeg(1), 404 if "robots" in request.path or "tdmrep" in request.path else 200)

    proxy = LoopbackServer(respond)
    (project / "urls.txt").write_text("http://museum.invalid/a.jpg\n")
    url = proxy.url.replace("//", "//ann:s3cret@")
    counts = lightmeter("harvest", "run", "urls", project / "urls.txt", env={"LIGHTMETER_CRAWL__PROXY": url})
    proxy.close()
    assert counts["fetched"] == 1
    assert "http://museum.invalid/a.jpg" in requested


def test_proxy_is_checked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTMETER_CRAWL__PROXY", "ann:s3cret@proxy")
    message = run_error("harvest", "run", "simulator")
    assert "http://HOST:PORT" in message
    assert "s3cret" not in message
