"""What Prometheus sees. Runs inside an archive; `serve start` declares the same metrics to TorchServe."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightmeter.models.runtime.spec import Target

_MODEL = ("ModelName", "ModelVersion")

_Declared = dict[str, tuple[str, ...]]

COUNTERS: _Declared = {
    "lightmeter_requests": (*_MODEL, "Outcome"),
    "lightmeter_predictions": (*_MODEL, "Target", "Class"),
    "lightmeter_warnings": (*_MODEL, "Kind"),
}
HISTOGRAMS: _Declared = {"lightmeter_decoding_seconds": _MODEL, "lightmeter_inference_seconds": _MODEL}
GAUGES: _Declared = {"lightmeter_class_drift": (*_MODEL, "Target")}

_UNITS = {"counter": "Count", "histogram": "Seconds", "gauge": "Fraction"}
_KINDS: dict[str, _Declared] = {"counter": COUNTERS, "histogram": HISTOGRAMS, "gauge": GAUGES}
_MEMORY = 500


def declaration() -> dict[str, list[dict[str, Any]]]:
    """Return the metrics as TorchServe's ``metrics_config`` declares those of a model."""
    return {
        kind: [{"name": name, "unit": _UNITS[kind], "dimensions": list(labels)} for name, labels in names.items()]
        for kind, names in _KINDS.items()
    }


class PredictionMetrics:
    """Reports through TorchServe's own channel.

    Args:
        cache: TorchServe's metrics cache of this worker.
        name: of the model.
        version: of the model.
        expected: by target, the share of photographs that the model gave each class in validation.
    """

    def __init__(self, cache: Any, name: str, version: str, expected: Mapping[str, Mapping[str, float]]) -> None:
        from ts.metrics.metric_type_enum import MetricTypes

        self._model = [name, version]
        self._metrics = {
            metric: cache.add_metric_to_cache(metric, _UNITS[kind], list(labels), MetricTypes(kind))
            for kind, names in _KINDS.items()
            for metric, labels in names.items()
        }
        self._mixes = {target: ClassDistribution(shares) for target, shares in expected.items()}

    def refused(self, status: int) -> None:
        """Count a request that was answered with an error."""
        self._report("lightmeter_requests", 1, str(status))

    def answered(self, document: Mapping[str, Any], decoding_s: float, inference_s: float) -> None:
        """Count a reading."""
        self._report("lightmeter_requests", 1, "200")
        self._report("lightmeter_decoding_seconds", decoding_s)
        self._report("lightmeter_inference_seconds", inference_s)
        for warning in document.get("warnings", ()):
            self._report("lightmeter_warnings", 1, warning["kind"])
        for target, found in document["predictions"].items():
            for label in found.get("classes") or [found.get("class", "none")]:
                self._report("lightmeter_predictions", 1, target, label)
            if target in self._mixes:
                self._report("lightmeter_class_drift", self._mixes[target].drift_after(found["class"]), target)

    def _report(self, metric: str, value: float, *labels: str) -> None:
        self._metrics[metric].add_or_update(value, [*self._model, *(_label(label) for label in labels)])


class ClassDistribution:
    """The classes that a worker has answered of late, and how far they are from those of validation.

    Args:
        expected: share of each class.
    """

    def __init__(self, expected: Mapping[str, float]) -> None:
        self._index = {label: index for index, label in enumerate(expected)}
        self._expected = np.array(list(expected.values()))
        self._recent = self._expected.copy()

    def drift_after(self, label: str) -> float:
        """Return half the sum of differences in share (total variation, 0 to 1) after one more answer.

        Answers are forgotten exponentially, over about 500.
        """
        seen = np.zeros_like(self._expected)
        seen[self._index[label]] = 1.0
        self._recent += (seen - self._recent) / _MEMORY
        return float(np.abs(self._recent - self._expected).sum() / 2)


def expected_mix(run: Path, targets: Iterable[Target]) -> dict[str, dict[str, float]]:
    """Return the share of validation photographs that each class was answered for, by target.

    Args:
        run: a run folder; what its ``metrics.json`` does not tell, or tells of other classes, is left out.
        targets: of the model.
    """
    validated = _validated(run)
    return {target.name: shares for target in targets if (shares := _shares(validated, target))}


def _validated(run: Path) -> Any:
    try:
        return json.loads((run / "metrics.json").read_text(encoding="utf-8"))["validation"]["targets"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _shares(validated: Any, target: Target) -> dict[str, float]:
    try:
        found = validated[target.name]
        counts = np.asarray(found["confusion"], float).sum(0)  # targets with several classes at once have none
        known = tuple(found["classes"]) == target.classes and counts.shape == (len(target.classes),)
    except (ValueError, KeyError, TypeError):
        return {}
    if not known or not counts.sum() > 0:
        return {}
    return dict(zip(target.classes, (counts / counts.sum()).tolist(), strict=True))


def _label(text: str) -> str:
    """Return a class as a label; TorchServe's own line format has no way to write these characters."""
    return "".join("_" if letter in ",|#:\n\r" else letter for letter in text)
