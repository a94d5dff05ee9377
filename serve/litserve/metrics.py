"""The Prometheus metrics of TorchServe's handler for LitServe, counted in the gateway."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from lightmeter.errors import UsageError
from lightmeter.models.runtime.spec import ModelSpec
from lightmeter.serve.handler.metrics import Metric, PredictionMetrics, expected_class_shares
from lightmeter.web import LOOPBACK

_OK = 200
_TYPES: dict[str, tuple[Any, str]] = {
    "counter": (Counter, "inc"),
    "histogram": (Histogram, "observe"),
    "gauge": (Gauge, "set"),
}
"""Class of each kind of metric, and its method that adds a value."""
_HELP = {
    "lightmeter_requests_total": "Requests by HTTP status.",
    "lightmeter_predictions_total": "Predicted classes.",
    "lightmeter_warnings_total": "Input warnings.",
    "lightmeter_decoding_seconds": "Time to decode and preprocess a photograph.",
    "lightmeter_inference_seconds": "Time in the network for a photograph.",
    "lightmeter_class_drift": "Total variation distance of the predicted classes from those on validation.",
}


class LitServeMetrics:
    """Count the requests of one model.

    Args:
        run: Run directory.
        spec: Specification of its model.
    """

    def __init__(self, run: Path, spec: ModelSpec) -> None:
        self._registry = CollectorRegistry()
        shares = expected_class_shares(run, spec.targets)
        self._metrics = PredictionMetrics(self._create, spec.name, spec.version, shares)

    def record(self, response: Mapping[str, Any]) -> None:
        """Count a response of the LitServe process."""
        if response["status"] == _OK:
            self._metrics.record_response(response["document"], response["decoding_s"], response["inference_s"])
        else:
            self._metrics.record_error(response["status"])

    @contextmanager
    def served(self, port: int) -> Iterator[str]:
        """Serve the metrics on loopback while the block runs, and yield their address.

        Args:
            port: Port; 0 for any free one.

        Raises:
            UsageError: The port cannot be bound.
        """
        try:
            server, thread = start_http_server(port, LOOPBACK, self._registry)
        except OSError as error:
            raise UsageError(
                f"The port {port} for metrics cannot be bound ({error.strerror}); choose another --metrics-port."
            ) from error
        try:
            yield f"http://{LOOPBACK}:{server.server_port}/metrics"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _create(self, kind: str, name: str, unit: str, labels: list[str]) -> Metric:
        metric, update = _TYPES[kind]
        return _PrometheusMetric(metric(name, _HELP[name], labels, registry=self._registry), update)


class _PrometheusMetric:
    """A metric of prometheus_client with the interface of TorchServe's."""

    def __init__(self, metric: Any, update: str) -> None:
        self._metric, self._update = metric, update

    def add_or_update(self, value: float, labels: list[str]) -> None:
        """Add to a counter, observe a value of a histogram, or set a gauge."""
        getattr(self._metric.labels(*labels), self._update)(value)
