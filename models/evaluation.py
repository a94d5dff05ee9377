"""Score a model on one split of a data set, photograph by photograph, through the predictor that also serves it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labels.dataset import DataSet, Split, label_column, stops_column
from models.data import Row, class_numbers, each_photograph, labelled, stops_of
from models.metrics import Answers, Floats, confusion, figures, group_numbers, reliability
from models.predictor import Predictor, calibrated
from models.preprocess import PhotographError
from models.spec import Target

_PARTS, _LEAST_PART = 15, 5  # of a breakdown: how many, and how many photographs each

PREDICTIONS = pa.schema(
    [
        ("sha256", pa.string()),
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
"""Columns of ``predictions.parquet``: a row for each photograph and target that has a label."""


def predict_split(
    predictor: Predictor, dataset: DataSet, split: Split
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Predict every labelled photograph of a split.

    Returns:
        Rows of ``predictions.parquet``, and the photographs that could not be read, with the reason.
    """
    targets = [dataset.spec.target(target.name) for target in predictor.spec.targets]
    found: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []

    def work(data: bytes) -> Mapping[str, NDArray[np.float32]]:
        return predictor.logits(predictor.read(data))

    rows = labelled(dataset.rows(split), targets)
    for row, logits in each_photograph(dataset, rows, work, f"predicting, {split}"):
        if isinstance(logits, PhotographError):
            unreadable.append({"sha256": row["sha256"], "reason": logits.reason})
        else:
            found += [
                _row(row, target, logits[target.name])
                for target in predictor.spec.targets
                if row[label_column(target.name)] is not None
            ]
    return found, unreadable


def score(
    predictions: Sequence[Mapping[str, Any]], targets: Sequence[Target], training: Sequence[Row], seed: int
) -> dict[str, Any]:
    """Return the metrics of one split, as ``metrics.json`` has them.

    Args:
        predictions: rows of ``predictions.parquet``, of that split.
        targets: of the model.
        training: rows of the training split, from which the baselines learn.
        seed: of the resampling.
    """
    scored = {}
    for target in targets:
        rows = [row for row in predictions if row["target"] == target.name]
        if rows:
            scored[target.name] = _score_target(rows, target, training, seed)
    photographs = {row["sha256"]: row["group"] for row in predictions}
    return {"photographs": len(photographs), "groups": len(set(photographs.values())), "targets": scored}


def answers_of(rows: Sequence[Mapping[str, Any]], target: Target) -> Answers:
    """Return what was answered about a target, for rows of ``predictions.parquet``."""
    number = {name: index for index, name in enumerate(target.classes)}
    probabilities = np.asarray([row["probabilities"] for row in rows], np.float64)
    raw = calibrated(np.asarray([row["logits"] for row in rows], np.float32), 1.0)
    error = None
    if target.stops:
        error = np.asarray([abs(row["predicted_stops"] - row["true_stops"]) for row in rows], np.float64)
    return Answers(
        truth=np.asarray([number[row["truth"]] for row in rows], np.int64),
        predicted=np.asarray([number[row["predicted"]] for row in rows], np.int64),
        groups=group_numbers([row["group"] for row in rows]),
        classes=len(target.classes),
        confidence=probabilities.max(1),
        raw_confidence=raw.max(1),
        error_stops=error,
    )


def _score_target(
    rows: Sequence[Mapping[str, Any]], target: Target, training: Sequence[Row], seed: int
) -> dict[str, Any]:
    answers = answers_of(rows, target)
    confidence = answers.confidence
    correct = answers.truth == answers.predicted
    return {
        "photographs": len(rows),
        "groups": int(answers.groups.max()) + 1,
        "classes": list(target.classes),
        "support": np.bincount(answers.truth, minlength=answers.classes).tolist(),
        **figures(answers, seed),
        "temperature": target.temperature,
        "baselines": _baselines(answers, rows, target, training, seed),
        "breakdown": {
            "source": _breakdown(answers, [row["source"] or "unknown" for row in rows]),
            "camera": _breakdown(answers, [_camera(row) for row in rows]),
        },
        "confusion": confusion(answers).tolist(),
        "reliability": [] if confidence is None else reliability(confidence, correct),
    }


def _breakdown(answers: Answers, parts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return accuracy and error in stops within each part that has photographs enough, most photographs first."""
    named = np.asarray(parts, dtype=object)
    names, counts = np.unique(named.astype(str), return_counts=True)
    result = {}
    for index in np.argsort(-counts, kind="stable")[:_PARTS]:
        if counts[index] >= _LEAST_PART:
            here = named == names[index]
            right = (answers.truth == answers.predicted)[here]
            result[str(names[index])] = {"photographs": int(counts[index]), "accuracy": float(right.mean())}
            if answers.error_stops is not None:
                result[str(names[index])]["error_stops"] = float(answers.error_stops[here].mean())
    return result


def _camera(row: Mapping[str, Any]) -> str:
    return " ".join(part for part in (row["make"], row["model"]) if part) or "unknown"


def _baselines(
    answers: Answers, rows: Sequence[Mapping[str, Any]], target: Target, training: Sequence[Row], seed: int
) -> dict[str, Any]:
    """Return what a model scores that never looks: the most frequent class, and the median setting, of training."""
    known = class_numbers(training, target)
    frequent = int(np.bincount(known[known >= 0], minlength=answers.classes).argmax())
    constant = Answers(answers.truth, np.full_like(answers.truth, frequent), answers.groups, answers.classes)
    result: dict[str, dict[str, Any]] = {"majority": {"class": target.classes[frequent], **figures(constant, seed)}}
    if target.stops:
        stops = stops_of(training, target)
        median = float(np.median(stops[np.isfinite(stops)]))
        truth: Floats = np.asarray([row["true_stops"] for row in rows], np.float64)
        nearest = int(np.abs(np.asarray(target.stops) - median).argmin())
        middle = Answers(
            answers.truth,
            np.full_like(answers.truth, nearest),
            answers.groups,
            answers.classes,
            error_stops=np.abs(truth - median),
        )
        result["median"] = {"class": target.classes[nearest], "stops": median, **figures(middle, seed)}
    return result


def _row(row: Row, target: Target, logits: NDArray[np.float32]) -> dict[str, Any]:
    probabilities = calibrated(logits, target.temperature)
    ordinal = bool(target.stops)
    return {
        **{name: row[name] for name in ("sha256", "path", "split", "group", "source", "make", "model")},
        "target": target.name,
        "truth": row[label_column(target.name)],
        "predicted": target.classes[int(probabilities.argmax())],
        "probabilities": probabilities.tolist(),
        "logits": logits.tolist(),
        "true_stops": row[stops_column(target.name)] if ordinal else None,
        "predicted_stops": float(probabilities @ np.asarray(target.stops)) if ordinal else None,
    }
