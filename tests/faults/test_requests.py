"""Hostile requests: each gets one answer, an error of its own or a prediction, and none of its input back."""

import asyncio
import base64
import json
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.labels.browser.server import BrowserServer
from lightmeter.project import Project
from lightmeter.serve.gateway.app import Answer, Call, gateway_app
from lightmeter.serve.handler.service import PredictionService
from tests.faults import hostile
from tests.faults.conftest import OverLimit, Trials
from tests.faults.test_hostile_values import MAX_CPU_S, MAX_MEMORY_MB, shortened
from tests.faults.world import World, files_below
from tests.harvest.sources.mutations import as_json, mutate
from tests.labels.browser.helpers import create_server

MAX_ERROR_BYTES = 500
CONTENT_TYPES = (
    "application/json", "image/jpeg", "application/octet-stream", "multipart/form-data; boundary=x", "text/plain",
    "multipart/form-data", "application/x-www-form-urlencoded", "", "image/jpeg; charset=\xff", "a/b;" + "c=d;" * 500,
)  # fmt: skip


class ServiceEngine:
    """The prediction service that the workers of both engines run."""

    def __init__(self, run: Path) -> None:
        self._service = PredictionService.load(run)

    async def ready(self) -> bool:
        return True

    async def predict(self, call: Call) -> Answer:
        response = self._service.respond(call.fields, explain=call.explain)
        return Answer(response.status, json.dumps(response.document).encode())


@pytest.mark.trials("hostile requests")
def test_prediction_requests(world: World, trials: Trials) -> None:
    app = gateway_app(ServiceEngine(world.project / "runs" / "tiny"), None, 5_000_000)
    photo = (world.outside / "secret.jpg").read_bytes()

    async def send_all() -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for _ in trials.numbers(60, 1500):
                content, headers = prediction_request(photo, trials.rng)
                with trials.trial(f"{headers}, {shortened(content)}"), limits():
                    check_response(await client.post("/predictions/tiny", content=content, headers=headers))

    asyncio.run(send_all())


@pytest.fixture
def browser_page(world: World) -> Iterator[BrowserServer]:
    engine = open_engine(Project(world.project))
    with create_server(Project(world.project), engine) as server:
        yield server
    engine.dispose()


@pytest.mark.trials("hostile requests")
def test_requests_of_the_browser(world: World, browser_page: BrowserServer, trials: Trials) -> None:
    outside = files_below(world.outside)
    headers = {"Cookie": f"lightmeter-browser-{browser_page.port}={browser_page.token}"}
    with httpx.Client(base_url=browser_page.url, headers=headers, trust_env=False) as client:
        view = client.get("/api/view?target=shutter-binary").json()["view"]
        for _ in trials.numbers(40, 800):
            method, path, content = browser_request(view, trials.rng)
            with trials.trial(f"{method} {path} {shortened(content)}"), limits():
                sent = {"Content-Type": trials.rng.choice(("application/json", "text/plain", ""))}
                sent = sent if trials.rng.random() < 0.3 else {"Content-Type": "application/json"}
                check_response(client.request(method, path, content=content, headers=sent), page=True)
    assert files_below(world.outside) == outside


def prediction_request(photo: bytes, rng: random.Random) -> tuple[bytes, dict[str, bytes]]:
    """Return the body and the headers of a request."""
    exif = {"FNumber": 2.8, "ISO": 100, "ExposureTime": "1/100"}
    document = {"image": base64.b64encode(photo).decode(), "top_k": 1, "targets": ["shutter-binary"], "exif": exif}
    content_type = rng.choice(CONTENT_TYPES)
    match rng.randrange(4):
        case 0:
            content = as_json(mutate(document, rng)).encode("utf-8", "surrogatepass")
            content_type = rng.choice(("application/json", content_type))
        case 1:
            value = str(hostile.value(rng)).encode("utf-8", "surrogatepass")
            part = rng.choice((photo, value))
            content = b'--x\r\nContent-Disposition: form-data; name="' + rng.choice((b"data", b"top_k", value[:100]))
            content += b'"\r\n\r\n' + part + b"\r\n--x--\r\n"
        case 2:
            content = hostile.damaged(photo, rng)
        case _:
            content = hostile.damaged(json.dumps(document).encode(), rng)
    return content, {"Content-Type": content_type.encode("latin-1")}


def browser_request(view: str, rng: random.Random) -> tuple[str, str, bytes]:
    """Return method, path and body of a request."""
    message = {"edit": str(rng.random()), "view": view, "since": 1000}
    messages: dict[str, dict[str, Any]] = {
        "/api/label": {**message, "ranges": [[0, 1]], "value": "fast", "toggle": False},
        "/api/box": {**message, "image": 1, "kind": "face", "x": 1, "y": 1, "width": 10, "height": 10},
        "/api/remove-box": {**message, "image": 1, "kind": "face", "box": 1},
        "/api/undo": message,
        "/api/redo": message,
    }
    if rng.random() < 0.3:
        value = str(rng.choice(hostile.VALUES))[:2000].encode("utf-8", "replace")
        quoted = "".join(f"%{byte:02x}" for byte in value)
        parameters = ("q", "target", "queue", "sample", "sort", "group", "predictions", "iso", "camera", "label", "x")
        paths = [f"/api/view?{name}=" for name in parameters]
        paths += ["/api/next?view=", f"/api/photographs?view={view}&start=", "/api/photograph?image="]
        paths += ["/photo/", "/thumbnail/", "/", f"/api/view?{quoted}="]
        return "GET", rng.choice(paths) + quoted, b""
    path = rng.choice(list(messages))
    return "POST", path, as_json(mutate(messages[path], rng)).encode("utf-8", "surrogatepass")


def check_response(response: httpx.Response, *, page: bool = False) -> None:
    """Check that a response is an answer, or a short error in JSON."""
    assert response.status_code < 500, f"status {response.status_code}: {response.text[:500]}"
    if response.status_code >= 400:
        assert len(response.content) < MAX_ERROR_BYTES, f"{len(response.content)} bytes: {response.text[:300]}"
        error = json.loads(response.content)["error"]
        assert error["status"] == response.status_code
        assert error["reason"]
    elif not page:
        json.loads(response.content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


class limits:  # noqa: N801 - a context manager
    """Check that a block takes no more time and memory than a request may."""

    def __enter__(self) -> None:
        self._start, self._memory = time.process_time(), _peak_mb()

    def __exit__(self, *_: object) -> None:
        if time.process_time() - self._start > MAX_CPU_S or _peak_mb() - self._memory > MAX_MEMORY_MB:
            raise OverLimit("a request took too much time or memory")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
