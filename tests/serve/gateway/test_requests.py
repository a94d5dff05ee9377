"""Identifiers, logs and traces of requests, with a real model behind the gateway in one process."""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightmeter.serve.gateway.app import Answer, Call, gateway_app
from lightmeter.serve.gateway.connection import EngineConnection
from lightmeter.serve.gateway.logs import JsonFormatter
from lightmeter.serve.handler.service import PredictionService
from lightmeter.serve.handler.tracing import ENDPOINTS, Tracing, record_response
from lightmeter.serve.torchserve.engine import TorchServeEngine
from tests.serve.support import make_photo, make_run

TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = f"00-{TRACE}-b7ad6b7169203331-01"
PHOTO = make_photo()


class ServiceEngine:
    """An engine that does what the handlers of TorchServe and LitServe do with the headers."""

    def __init__(self, service: PredictionService, tracing: Tracing | None) -> None:
        self._service, self._tracing = service, tracing

    async def ready(self) -> bool:
        return True

    async def predict(self, call: Call) -> Answer:
        response = self._service.respond(call.fields)
        headers = call.headers
        record_response(self._tracing, response, headers["X-Request-ID"], headers.get("traceparent", ""))
        if call.model == "broken":
            raise OSError("the disk is gone")
        return Answer(response.status, json.dumps(response.document).encode())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> PredictionService:
    return PredictionService.load(make_run(tmp_path_factory.mktemp("run") / "tiny", "tiny"))


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """Return the documents that are logged as JSON."""
    documents: list[dict[str, Any]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            documents.append(json.loads(JsonFormatter().format(record)))

    logger, handler = logging.getLogger("lightmeter.serve"), Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield documents
    logger.removeHandler(handler)
    logger.setLevel(level)


def send(
    service: PredictionService, *requests: tuple[str, bytes, Mapping[str, str]], tracing: Tracing | None = None
) -> list[httpx.Response]:
    app = gateway_app(ServiceEngine(service, tracing), None, 1_000_000, {"tiny": "1.0"}, tracing)

    async def send_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.post(path, content=content, headers=headers) for path, content, headers in requests]

    return asyncio.run(send_all())


def test_every_response_has_an_identifier_and_every_request_a_line_of_json(
    service: PredictionService, lines: list[dict[str, Any]]
) -> None:
    responses = send(
        service,
        ("/predictions/tiny", PHOTO, {"X-Request-ID": "client-7"}),
        ("/predictions/tiny", b"no photograph", {"X-Request-ID": 'bad\tid"{}'}),
        ("/predictions/tiny", PHOTO, {"X-Request-ID": "x" * 101}),
        ("/predictions/broken", PHOTO, {"X-Request-ID": "client-8"}),
        ("/nowhere", b"", {}),
        ("/v2/models/tiny/infer", b"{}", {"X-Request-ID": "client-9", "traceparent": CLIENT}),
    )
    assert [response.status_code for response in responses] == [200, 415, 200, 500, 404, 400]
    identifiers = [response.headers["X-Request-ID"] for response in responses]
    assert (identifiers[0], identifiers[3], identifiers[5]) == ("client-7", "client-8", "client-9")
    assert all(len(identifiers[index]) == 32 for index in (1, 2, 4))
    requests = [line for line in lines if "path" in line]
    assert [line["request_id"] for line in requests] == identifiers
    assert [line["status"] for line in requests] == [200, 415, 200, 500, 404, 400]
    assert requests[5]["trace_id"] == TRACE
    assert {*requests[0]} == {
        "time",
        "level",
        "logger",
        "message",
        "request_id",
        "method",
        "path",
        "status",
        "duration_ms",
    }
    refused, failed = (line["message"] for line in lines if line["message"].startswith("request_id="))
    assert refused.startswith(f"request_id={identifiers[1]} status=415 The file is not a supported image")
    assert failed.startswith("request_id=client-8 A request failed: OSError")


def test_spans_of_gateway_and_handler_are_one_trace(service: PredictionService) -> None:
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = trace.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))

    send(
        service,
        ("/predictions/tiny", PHOTO, {"traceparent": CLIENT, "X-Request-ID": "client-7"}),
        ("/predictions/tiny", b"no photograph", {"traceparent": CLIENT}),
        ("/predictions/tiny", PHOTO, {"traceparent": "nonsense"}),
        tracing=Tracing(provider),
    )

    spans = memory.get_finished_spans()
    by_request: dict[int, list[Any]] = {}
    for span in spans:
        by_request.setdefault(span.context.trace_id, []).append(span)
    assert len(by_request) == 2  # the third request has a trace of its own
    of_client = by_request[int(TRACE, 16)]
    stages = ["decode", "preprocess", "forward", "heads"]
    assert [span.name for span in of_client] == [
        *stages,
        "predict",
        "POST /predictions",
        "decode",
        "predict",
        "POST /predictions",
    ]
    decode, *_, predict, request = of_client[:6]
    assert f"{request.parent.span_id:x}" == "b7ad6b7169203331"
    assert predict.parent.span_id == request.context.span_id
    assert {span.parent.span_id for span in of_client[:4]} == {predict.context.span_id}
    assert request.start_time <= predict.start_time == decode.start_time < decode.end_time <= predict.end_time
    assert predict.attributes["lightmeter.request_id"] == "client-7"
    assert predict.attributes["lightmeter.model"] == "tiny"
    assert [span.attributes["http.response.status_code"] for span in of_client if span.kind.name == "SERVER"] == [
        200,
        415,
    ]


def test_traces_are_off_without_an_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert Tracing.from_environment() is None


def test_request_that_the_engine_never_answers_ends(tmp_path: Path) -> None:
    async def send_to(url: str) -> httpx.Response:
        async with EngineConnection(answer_s=0.2) as connection:
            app = gateway_app(
                TorchServeEngine(connection, url, url, tmp_path / "keys"), None, 1_000_000, {"tiny": "1.0"}
            )
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                return await client.post("/predictions/tiny", content=PHOTO)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        response = asyncio.run(send_to(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert response.status_code == 503
    assert "does not respond" in response.text
