"""The figures of one split, from a model's answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import bootstrap, group_numbers, reliability
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.baselines import Blind, blind, of_classes
from lightmeter.models.evaluation.breakdown import breakdown
from lightmeter.models.evaluation.metrics.classification import ClassPredictions, confusion
from lightmeter.models.evaluation.metrics.multilabel import MultilabelPredictions
from lightmeter.models.evaluation.metrics.scoring_multilabel import score_sets, set_answers_of
from lightmeter.models.runtime.predictor import calibrated
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.loader import photograph_of


def score(
    predictions: Sequence[Mapping[str, Any]], targets: Sequence[Target], dataset: Dataset, seed: int
) -> dict[str, Any]:
    """Return the metrics of one split, as ``metrics.json`` has them.

    Args:
        predictions: rows of ``predictions.parquet``, of that split.
        targets: of the model.
        dataset: that the photographs are of; from its training split the baselines learn.
        seed: of the resampling.
    """
    scored = {}
    for target in targets:
        rows = [row for row in predictions if row["target"] == target.name]
        if rows:
            scoring = score_sets if target.multiple else _score_classes
            scored[target.name] = {
                "photographs": len(rows),
                "groups": len({row["group"] for row in rows}),
                "classes": list(target.classes),
                **scoring(rows, target, blind(dataset, rows, target), seed),
                "temperature": target.temperature,
            }
    photographs = {photograph_of(row): row["group"] for row in predictions}
    return {"photographs": len(photographs), "groups": len(set(photographs.values())), "targets": scored}


def answers_of(rows: Sequence[Mapping[str, Any]], target: Target) -> ClassPredictions | MultilabelPredictions:
    """Return what was answered about a target, for rows of ``predictions.parquet``."""
    return set_answers_of(rows, target) if target.multiple else _answers_of(rows, target)


def _answers_of(rows: Sequence[Mapping[str, Any]], target: Target) -> ClassPredictions:
    number = {name: index for index, name in enumerate(target.classes)}
    probabilities = np.asarray([row["probabilities"] for row in rows], np.float64)
    raw = calibrated(np.asarray([row["logits"] for row in rows], np.float32), 1.0)
    error = None
    if target.stops:
        error = np.asarray([abs(row["predicted_stops"] - row["true_stops"]) for row in rows], np.float64)
    return ClassPredictions(
        truth=np.asarray([number[row["truth"]] for row in rows], np.int64),
        predicted=np.asarray([number[row["predicted"]] for row in rows], np.int64),
        groups=group_numbers([row["group"] for row in rows]),
        classes=len(target.classes),
        confidence=probabilities.max(1),
        raw_confidence=raw.max(1),
        error_stops=error,
    )


def _score_classes(rows: Sequence[Mapping[str, Any]], target: Target, known: Blind, seed: int) -> dict[str, Any]:
    answers = _answers_of(rows, target)
    confidence = answers.confidence
    correct = answers.truth == answers.predicted
    return {
        "support": np.bincount(answers.truth, minlength=answers.classes).tolist(),
        **bootstrap(answers, seed),
        "baselines": of_classes(answers, rows, target, known, seed),
        "breakdown": breakdown(rows, lambda here: _figures_within(answers, here)),
        "confusion": confusion(answers).tolist(),
        "reliability": [] if confidence is None else reliability(confidence, correct),
    }


def _figures_within(answers: ClassPredictions, here: NDArray[np.bool_]) -> dict[str, float]:
    found = {"accuracy": float((answers.truth == answers.predicted)[here].mean())}
    if answers.error_stops is not None:
        found["error_stops"] = float(answers.error_stops[here].mean())
    return found
