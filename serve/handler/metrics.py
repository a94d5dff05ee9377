"""Prometheus metrics of predictions. Runs inside an archive; `serve start` declares the same metrics to TorchServe."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...models.runtime.spec import Target

_MODEL_LABELS = ("model_name", "model_version")

_METRICS: dict[str, dict[str, tuple[str, ...]]] = {
    "counter": {
        "lightmeter_requests_total": (*_MODEL_LABELS, "status"),
        "lightmeter_predictions_total": (*_MODEL_LABELS, "target", "class"),
        "lightmeter_warnings_total": (*_MODEL_LABELS, "kind"),
    },
    "histogram": {"lightmeter_decoding_seconds": _MODEL_LABELS, "lightmeter_inference_seconds": _MODEL_LABELS},
    "gauge": {"lightmeter_class_drift": (*_MODEL_LABELS, "target")},
}
_UNITS = {"counter": "Count", "histogram": "Seconds", "gauge": "Fraction"}
_DRIFT_WINDOW = 500


def declared_model_metrics() -> dict[str, list[dict[str, Any]]]:
    """Return the metrics in the form of TorchServe's ``metrics_config``."""
    return {
        kind: [{"name": name, "unit": _UNITS[kind], "dimensions": list(labels)} for name, labels in metrics.items()]
        for kind, metrics in _METRICS.items()
    }


class Metric(Protocol):
    """A metric of TorchServe, or one with its interface."""

    def add_or_update(self, value: float, labels: list[str]) -> object:
        """Add to a counter, observe a value of a histogram, or set a gauge."""


CreateMetric = Callable[[str, str, str, list[str]], Metric]
"""Creates a metric, given its kind (``counter``, ``histogram`` or ``gauge``), name, unit and labels."""


class PredictionMetrics:
    """Report metrics of one model.

    Args:
        create: Creates each metric.
        name: Model name.
        version: Model version.
        expected: Expected share of each class, by target.
    """

    def __init__(
        self, create: CreateMetric, name: str, version: str, expected: Mapping[str, Mapping[str, float]]
    ) -> None:
        self._model = [name, version]
        self._metrics = {
            metric: create(kind, metric, _UNITS[kind], list(labels))
            for kind, metrics in _METRICS.items()
            for metric, labels in metrics.items()
        }
        self._distributions = {target: ClassDistribution(shares) for target, shares in expected.items()}

    def record_error(self, status: int) -> None:
        """Count a request that was answered with an error."""
        self._report("lightmeter_requests_total", 1, str(status))

    def record_response(self, document: Mapping[str, Any], decoding_s: float, inference_s: float) -> None:
        """Count a prediction."""
        self._report("lightmeter_requests_total", 1, "200")
        self._report("lightmeter_decoding_seconds", decoding_s)
        self._report("lightmeter_inference_seconds", inference_s)
        for warning in document.get("warnings", ()):
            self._report("lightmeter_warnings_total", 1, warning["kind"])
        for target, prediction in document["predictions"].items():
            for label in prediction.get("classes") or [prediction.get("class", "none")]:
                self._report("lightmeter_predictions_total", 1, target, label)
            if target in self._distributions:
                drift = self._distributions[target].update(prediction["class"])
                self._report("lightmeter_class_drift", drift, target)

    def _report(self, metric: str, value: float, *labels: str) -> None:
        self._metrics[metric].add_or_update(value, [*self._model, *(_escape(label) for label in labels)])


def torchserve_metric(cache: Any) -> CreateMetric:
    """Return what creates metrics of TorchServe.

    Args:
        cache: TorchServe's metrics cache of this worker.
    """
    from ts.metrics.metric_type_enum import MetricTypes

    def create(kind: str, name: str, unit: str, labels: list[str]) -> Metric:
        metric: Metric = cache.add_metric_to_cache(name, unit, labels, MetricTypes(kind))
        return metric

    return create


class ClassDistribution:
    """Shares of the recently predicted classes, compared with the expected shares.

    Args:
        expected: Expected share of each class.
    """

    def __init__(self, expected: Mapping[str, float]) -> None:
        self._index = {label: index for index, label in enumerate(expected)}
        self._expected = np.array(list(expected.values()))
        self._recent = self._expected.copy()

    def update(self, label: str) -> float:
        """Add a prediction and return the total variation distance from the expected shares (0 to 1).

        Older predictions lose weight exponentially, over about 500 predictions.
        """
        prediction = np.zeros_like(self._expected)
        prediction[self._index[label]] = 1.0
        self._recent += (prediction - self._recent) / _DRIFT_WINDOW
        return float(np.abs(self._recent - self._expected).sum() / 2)


def expected_class_shares(run: Path, targets: Iterable[Target]) -> dict[str, dict[str, float]]:
    """Return the share of validation photographs predicted as each class, by target.

    Args:
        run: Run directory. Targets that its ``metrics.json`` does not hold, or holds with other classes, are left out.
        targets: Targets of the model.
    """
    try:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["validation"]["targets"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {target.name: shares for target in targets if (shares := _shares(metrics, target))}


def _shares(metrics: Any, target: Target) -> dict[str, float]:
    try:
        classes = tuple(metrics[target.name]["classes"])
        counts = np.asarray(metrics[target.name]["confusion_matrix"], float).sum(0)  # multi-label targets have none
    except (ValueError, KeyError, TypeError):
        return {}
    if classes != target.classes or counts.shape != (len(classes),) or not counts.sum() > 0:
        return {}
    return dict(zip(classes, (counts / counts.sum()).tolist(), strict=True))


def _escape(text: str) -> str:
    """Replace the characters that TorchServe's metrics log format cannot represent."""
    return "".join("_" if character in ",|#:\n\r" else character for character in text)
