"""Predictions of a model about one split of a data set: made by the predictor that also serves it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lightmeter.bootstrap import group_indices
from lightmeter.labels.datasets.manifest import crop_of, label_column, stops_column
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.evaluation.metrics.multilabel import MultilabelPredictions
from lightmeter.models.runtime.intervals import StopsDistribution
from lightmeter.models.runtime.predictor import THRESHOLD, calibrated
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training.data.loader import Row

CLASS_SEPARATOR = "|"
"""Separator of the classes of a multilabel target; no class name contains it."""

PREDICTIONS_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("crop", pa.list_(pa.int32())),  # x, y, width, height; null for the whole photograph
        ("path", pa.string()),
        ("file", pa.string()),  # name of the photograph at its source; null in predictions made while training
        ("split", pa.string()),
        ("group", pa.string()),
        ("source", pa.string()),
        ("make", pa.string()),
        ("model", pa.string()),
        ("target", pa.string()),
        ("truth", pa.string()),
        ("predicted", pa.string()),
        ("probabilities", pa.list_(pa.float64())),
        ("logits", pa.list_(pa.float32())),
        ("true_stops", pa.float64()),
        ("predicted_stops", pa.float64()),
    ]
)
"""Columns of ``predictions.parquet``: one row per labelled photograph (or crop) and target.

For a multilabel target ``truth`` and ``predicted`` hold classes separated by ``|``.
"""


def prediction_rows(row: Row, spec: ModelSpec, logits: Mapping[str, NDArray[np.float32]]) -> list[dict[str, Any]]:
    """Return the rows of ``predictions.parquet`` for a photograph: one for each target that it has a label for.

    Args:
        row: Manifest row of the photograph.
        spec: Specification of the model.
        logits: Logits by target, each of shape (C,).
    """
    return [
        prediction_row(row, target, logits[target.name])
        for target in spec.targets
        if row[label_column(target.name)] is not None
    ]


def prediction_row(row: Row, target: Target, logits: NDArray[np.float32]) -> dict[str, Any]:
    """Return a row of ``predictions.parquet``.

    Args:
        row: Manifest row of the photograph, with a label for the target.
        target: Target of the model.
        logits: Logits of the target, shape (C,).
    """
    probabilities = calibrated(logits, target.temperature, multilabel=target.multilabel)
    truth = row[label_column(target.name)]
    if target.multilabel:
        truth = CLASS_SEPARATOR.join(truth)
        predicted = CLASS_SEPARATOR.join(target.classes[index] for index in np.flatnonzero(probabilities >= THRESHOLD))
    else:
        predicted = target.classes[int(probabilities.argmax())]
    ordinal = bool(target.stops)
    return {
        **{name: row[name] for name in ("sha256", "path", "split", "group", "source", "make", "model")},
        "file": None,
        "crop": crop_of(row),
        "target": target.name,
        "truth": truth,
        "predicted": predicted,
        "probabilities": probabilities.tolist(),
        "logits": logits.tolist(),
        "true_stops": row[stops_column(target.name)] if ordinal else None,
        "predicted_stops": StopsDistribution(probabilities, target.stops).median() if ordinal else None,
    }


def target_predictions(rows: Sequence[Mapping[str, Any]], target: Target) -> ClassPredictions | MultilabelPredictions:
    """Return the predictions about one target as arrays, from rows of ``predictions.parquet``."""
    probabilities = np.asarray([row["probabilities"] for row in rows], np.float64)
    logits = np.asarray([row["logits"] for row in rows], np.float32)
    uncalibrated = calibrated(logits, 1.0, multilabel=target.multilabel)
    groups = group_indices([row["group"] for row in rows])
    if target.multilabel:
        labels = [row["truth"].split(CLASS_SEPARATOR) for row in rows]
        truth = np.asarray([[name in classes for name in target.classes] for classes in labels])
        return MultilabelPredictions(truth, probabilities >= THRESHOLD, probabilities, groups, uncalibrated)
    index_of = {name: index for index, name in enumerate(target.classes)}
    stops = {name: np.asarray([row[name] for row in rows], np.float64) for name in ("true_stops", "predicted_stops")}
    return ClassPredictions(
        truth=np.asarray([index_of[row["truth"]] for row in rows], np.int64),
        predicted=np.asarray([index_of[row["predicted"]] for row in rows], np.int64),
        groups=groups,
        n_classes=len(target.classes),
        probabilities=probabilities,
        uncalibrated_confidence=uncalibrated.max(1),
        **(stops if target.stops else {}),
    )
