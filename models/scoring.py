"""The figures of one split, from a model's answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.breakdown import breakdown
from models.data import Row, class_numbers, stops_of
from models.metrics import Answers, confusion
from models.predictor import calibrated
from models.resampling import Floats, figures, group_numbers, reliability
from models.scoring_sets import score_sets, set_answers_of
from models.several import SetAnswers
from models.spec import Target


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
            scoring = score_sets if target.multiple else _score_classes
            scored[target.name] = {
                "photographs": len(rows),
                "groups": len({row["group"] for row in rows}),
                "classes": list(target.classes),
                **scoring(rows, target, training, seed),
                "temperature": target.temperature,
            }
    photographs = {photograph_of(row): row["group"] for row in predictions}
    return {"photographs": len(photographs), "groups": len(set(photographs.values())), "targets": scored}


def photograph_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what tells a photograph, or a part of one, from all others."""
    return (row["sha256"], *(str(number) for number in row.get("crop") or ()))


def answers_of(rows: Sequence[Mapping[str, Any]], target: Target) -> Answers | SetAnswers:
    """Return what was answered about a target, for rows of ``predictions.parquet``."""
    return set_answers_of(rows, target) if target.multiple else _answers_of(rows, target)


def _answers_of(rows: Sequence[Mapping[str, Any]], target: Target) -> Answers:
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


def _score_classes(
    rows: Sequence[Mapping[str, Any]], target: Target, training: Sequence[Row], seed: int
) -> dict[str, Any]:
    answers = _answers_of(rows, target)
    confidence = answers.confidence
    correct = answers.truth == answers.predicted
    return {
        "support": np.bincount(answers.truth, minlength=answers.classes).tolist(),
        **figures(answers, seed),
        "baselines": _baselines(answers, rows, target, training, seed),
        "breakdown": breakdown(rows, lambda here: _figures_within(answers, here)),
        "confusion": confusion(answers).tolist(),
        "reliability": [] if confidence is None else reliability(confidence, correct),
    }


def _figures_within(answers: Answers, here: NDArray[np.bool_]) -> dict[str, float]:
    found = {"accuracy": float((answers.truth == answers.predicted)[here].mean())}
    if answers.error_stops is not None:
        found["error_stops"] = float(answers.error_stops[here].mean())
    return found


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
