"""``lightmeter serve litserve``: the same readings from another server."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from lightmeter.project import Project
from tests.serve.support import make_photograph
from tests.support import run_command

pytest.importorskip("litserve", reason="the extra 'litserve' is not installed", exc_type=ImportError)
pytestmark = pytest.mark.server

PHOTOGRAPH = make_photograph(4)
ENCODED = base64.b64encode(PHOTOGRAPH).decode()


@pytest.fixture(scope="module")
def address(place: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A LitServe that serves the project's model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("litserve") / "log"
    command = [
        sys.executable,
        "-m",
        "lightmeter",
        "--project",
        place.root,
        "serve",
        "litserve",
        "fusion",
        "--port",
        port,
    ]
    with log.open("w") as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, start_new_session=True)
    deadline = time.monotonic() + 60
    try:
        while not _healthy(port):
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


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).text == "ok"
    except httpx.HTTPError:
        return False


def test_readings_are_those_made_in_process(address: str, place: Project, tmp_path: Path) -> None:
    photograph = tmp_path / "photograph.jpg"
    photograph.write_bytes(PHOTOGRAPH)
    exif = tmp_path / "exif.json"
    exif.write_text('{"FNumber": 2.8, "ISO": "400"}')
    (plain,) = run_command("models", "predict", "fusion", photograph, "--json", project=place.root).document
    (told,) = run_command(
        "models", "predict", "fusion", photograph, "--exif", exif, "--json", project=place.root
    ).document

    for here, further in ((plain, {}), (told, {"exif": {"FNumber": 2.8, "ISO": "400"}})):
        answer = httpx.post(address, json={"image": ENCODED, **further}, trust_env=False)

        assert answer.status_code == 200
        assert {"file": str(photograph), **answer.json()} == here
    assert plain["predictions"] != told["predictions"]


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
def test_what_is_no_photograph_is_refused(address: str, body: bytes, status: int) -> None:
    answer = httpx.post(address, content=body, headers={"Content-Type": "application/json"}, trust_env=False)

    assert answer.status_code == status
    assert httpx.post(address, json={"image": ENCODED}, trust_env=False).status_code == 200
