"""Ask a model about one split of a data set, photograph by photograph, through the predictor that also serves it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lightmeter.labels.datasets.dataset import Dataset, Split, crop_of, label_column, stops_column
from lightmeter.models.runtime.predictor import THRESHOLD, Predictor, calibrated
from lightmeter.models.runtime.preprocess import Box, InvalidPhoto
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.loader import Row, each_photograph, labelled, unreadable

BETWEEN = "|"
"""Stands between the classes of a photograph that has several; no class has it in its name."""

PREDICTIONS = pa.schema(
    [
        ("sha256", pa.string()),
        ("crop", pa.list_(pa.int32())),  # x, y, width, height of the part that is meant; null for the whole
        ("path", pa.string()),
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
"""Columns of ``predictions.parquet``: a row for each photograph (or part of one) and target that has a label.

Of a target with several classes at once ``truth`` and ``predicted`` are those classes with ``|`` between them.
"""


def predict_split(
    predictor: Predictor, dataset: Dataset, split: Split
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Predict every labelled photograph of a split.

    Returns:
        Rows of ``predictions.parquet``, and the photographs that could not be read, with the reason.
    """
    targets = [dataset.spec.target(target.name) for target in predictor.spec.targets]
    found: list[dict[str, Any]] = []
    broken: list[dict[str, Any]] = []

    def work(data: bytes, box: Box | None) -> Mapping[str, NDArray[np.float32]]:
        return predictor.logits(predictor.preprocess(data, box))

    rows = labelled(dataset.rows(split), targets)
    for row, logits in each_photograph(dataset, rows, work, f"predicting, {split}"):
        if isinstance(logits, InvalidPhoto):
            broken.append(unreadable(row, logits))
        else:
            found += [
                prediction_row(row, target, logits[target.name])
                for target in predictor.spec.targets
                if row[label_column(target.name)] is not None
            ]
    return found, broken


def prediction_row(row: Row, target: Target, logits: NDArray[np.float32]) -> dict[str, Any]:
    """Return a row of ``predictions.parquet``: what is true and what was answered about one target."""
    probabilities = calibrated(logits, target.temperature, multiple=target.multiple)
    truth = row[label_column(target.name)]
    if target.multiple:
        truth = BETWEEN.join(truth)
        predicted = BETWEEN.join(target.classes[number] for number in np.flatnonzero(probabilities >= THRESHOLD))
    else:
        predicted = target.classes[int(probabilities.argmax())]
    ordinal = bool(target.stops)
    return {
        **{name: row[name] for name in ("sha256", "path", "split", "group", "source", "make", "model")},
        "crop": crop_of(row),
        "target": target.name,
        "truth": truth,
        "predicted": predicted,
        "probabilities": probabilities.tolist(),
        "logits": logits.tolist(),
        "true_stops": row[stops_column(target.name)] if ordinal else None,
        "predicted_stops": float(probabilities @ np.asarray(target.stops)) if ordinal else None,
    }
