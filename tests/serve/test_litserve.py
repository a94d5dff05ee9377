"""``lightmeter serve litserve``: the same predictions from another server."""

import base64
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from lightmeter.project import Project
from tests.serve.support import make_photo, run_in_project
from tests.support import CommandRunner

pytest.importorskip("litserve", reason="the extra 'litserve' is not installed", exc_type=ImportError)
pytestmark = pytest.mark.server

PHOTO = make_photo(4)
ENCODED = base64.b64encode(PHOTO).decode()


@pytest.fixture(scope="module")
def url(serve_project: Project, lightmeter: CommandRunner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a model served by LitServe."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("litserve") / "log"
    command = lightmeter.command("--project", serve_project.root, "serve", "litserve", "fusion", "--port", port)
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    deadline = time.monotonic() + 60
    try:
        while not is_healthy(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/predictions/fusion"
    finally:
        process.terminate()  # as systemd and containers do
        try:
            assert process.wait(20) == 0
            assert "Traceback" not in log.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).text == "ok"
    except httpx.HTTPError:
        return False


def test_predictions_equal_predictions_in_process(url: str, serve_project: Project, tmp_path: Path) -> None:
    photo, exif = tmp_path / "photo.jpg", tmp_path / "exif.json"
    photo.write_bytes(PHOTO)
    exif.write_text('{"FNumber": 2.8, "ISO": "400"}')
    (plain,) = run_in_project("models", "predict", "fusion", photo, project=serve_project).document
    (with_exif,) = run_in_project("models", "predict", "fusion", photo, "--exif", exif, project=serve_project).document

    for expected, options in ((plain, {}), (with_exif, {"exif": {"FNumber": 2.8, "ISO": "400"}})):
        response = httpx.post(url, json={"image": ENCODED, **options}, trust_env=False)

        assert response.status_code == 200
        assert {"file": str(photo), **response.json()} == expected
    assert plain["predictions"] != with_exif["predictions"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"image": "AAAA"}', 415),
        (b'{"image": ""}', 400),
        (b'{"image": "?"}', 400),
        (b"{}", 400),
        (b'{"image": "AAAA", "patches": 10000}', 400),
        (b'{"image"', 422),
        (b"[]", 422),
    ],
)
def test_invalid_request_is_refused(url: str, body: bytes, status: int) -> None:
    response = httpx.post(url, content=body, headers={"Content-Type": "application/json"}, trust_env=False)

    assert response.status_code == status
    assert httpx.post(url, json={"image": ENCODED}, trust_env=False).status_code == 200
