"""Logs and traces of requests; traces if OpenTelemetry is installed and an exporter is configured.

Runs inside an archive. The variables are those of OpenTelemetry: ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``) turns traces on, ``OTEL_SERVICE_NAME`` names the service.
"""

import logging
import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the gateway needs no torch
    from .service import PredictionResponse

REQUEST_ID = "X-Request-ID"
TRACEPARENT = "traceparent"
"""Headers that are passed on from the gateway to the handler."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_OK, _FIRST_SERVER_ERROR = 200, 500
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_log = logging.getLogger(__name__)


class Tracing:
    """Record spans.

    Args:
        provider: OpenTelemetry's provider of tracers.
    """

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("lightmeter")
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def from_environment(cls) -> "Tracing | None":
        """Return what records spans and exports them by OTLP over HTTP; None if traces are off."""
        if not any(os.environ.get(name) for name in ENDPOINTS):
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            _log.warning("Traces are off: OpenTelemetry is not installed; run: pip install 'lightmeter[tracing]'")
            return None
        name = os.environ.get("OTEL_SERVICE_NAME") or "lightmeter"
        provider = TracerProvider(resource=Resource.create({"service.name": name}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def start_request(self, name: str, traceparent: str) -> Any:
        """Return the span of a request to the gateway, which continues the trace of the client.

        Args:
            name: Method and route.
            traceparent: Header of the client; empty for a new trace.
        """
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(name, context=self._context(traceparent), kind=SpanKind.SERVER)

    def traceparent(self, span: Any) -> str:
        """Return the header that lets another process continue the trace of a span."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier.get(TRACEPARENT, "")

    def end_request(self, span: Any, status: int, attributes: Mapping[str, Any]) -> None:
        """End the span of a request.

        Args:
            span: The span.
            status: HTTP status of the response.
            attributes: Further attributes.
        """
        span.set_attributes({"http.response.status_code": status, **attributes})
        _mark_failure(span, status)
        span.end()

    def record_prediction(self, response: "PredictionResponse", identifier: str, traceparent: str) -> None:
        """Record the span of a prediction and one for each of its stages, all of which have ended.

        Args:
            response: The response.
            identifier: Identifier of the request.
            traceparent: Header of the gateway; empty for a new trace.
        """
        from opentelemetry.trace import set_span_in_context

        now = time.time_ns()
        start = response.stages[0].start_ns if response.stages else now
        attributes = {"lightmeter.request_id": identifier, "lightmeter.status": response.status}
        if response.status == _OK:
            attributes |= {f"lightmeter.{key}": response.document[key] for key in ("model", "version", "engine")}
        span = self._tracer.start_span("predict", self._context(traceparent), start_time=start, attributes=attributes)
        _mark_failure(span, response.status)
        context = set_span_in_context(span)
        for stage in response.stages:
            self._tracer.start_span(stage.name, context, start_time=stage.start_ns).end(stage.end_ns)
        span.end(now)

    def _context(self, traceparent: str) -> Any:
        return self._propagator.extract({TRACEPARENT: traceparent})


def valid_request_id(header: str) -> str:
    """Return the identifier in a client's header, empty if it has other characters than letters, digits, ``._-``."""
    return header if _REQUEST_ID.fullmatch(header) else ""


def record_response(tracing: Tracing | None, response: "PredictionResponse", header: str, traceparent: str) -> None:
    """Log a request that was refused or failed, with its identifier, and record its spans.

    Args:
        tracing: Records the spans; None for none.
        response: The response.
        header: Header `REQUEST_ID` of the request; empty for none.
        traceparent: Header `TRACEPARENT` of the request; empty for none.
    """
    identifier = valid_request_id(header)
    if response.status != _OK:
        reason = response.document["error"]["reason"]
        _log.info("request_id=%s status=%d %s", identifier or "-", response.status, reason)
    if tracing:
        tracing.record_prediction(response, identifier, traceparent)


def _mark_failure(span: Any, status: int) -> None:
    from opentelemetry.trace import StatusCode

    if status >= _FIRST_SERVER_ERROR:
        span.set_status(StatusCode.ERROR)
