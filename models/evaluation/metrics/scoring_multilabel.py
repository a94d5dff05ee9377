"""The figures of a target of which a photograph can have several classes at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import bootstrap, group_numbers, reliability
from lightmeter.models.evaluation.baselines import Blind, of_sets
from lightmeter.models.evaluation.breakdown import breakdown
from lightmeter.models.evaluation.metrics.multilabel import MultilabelPredictions
from lightmeter.models.evaluation.predictions import BETWEEN
from lightmeter.models.runtime.predictor import THRESHOLD, calibrated
from lightmeter.models.runtime.spec import Target


def set_answers_of(rows: Sequence[Mapping[str, Any]], target: Target) -> MultilabelPredictions:
    """Return what was answered about a target, for rows of ``predictions.parquet``."""
    probabilities = np.asarray([row["probabilities"] for row in rows], np.float64)
    logits = np.asarray([row["logits"] for row in rows], np.float32)
    having = [row["truth"].split(BETWEEN) for row in rows]
    return MultilabelPredictions(
        truth=np.asarray([[name in names for name in target.classes] for names in having]),
        predicted=probabilities >= THRESHOLD,
        probabilities=probabilities,
        groups=group_numbers([row["group"] for row in rows]),
        raw_probabilities=calibrated(logits, 1.0, multiple=True),
    )


def score_sets(rows: Sequence[Mapping[str, Any]], target: Target, known: Blind, seed: int) -> dict[str, Any]:
    """Return the figures of one target, beside baselines."""
    answers = set_answers_of(rows, target)
    return {
        "support": answers.truth.sum(0).tolist(),
        **bootstrap(answers, seed),
        "baselines": of_sets(answers, target, known, seed),
        "breakdown": breakdown(rows, lambda here: _figures_within(answers, here)),
        "by_class": _by_class(answers, target),
        "reliability": reliability(answers.probabilities.ravel(), answers.truth.ravel()),
    }


def _figures_within(answers: MultilabelPredictions, here: NDArray[np.bool_]) -> dict[str, float | None]:
    some = MultilabelPredictions(
        answers.truth[here], answers.predicted[here], answers.probabilities[here], np.zeros(int(here.sum()), np.int64)
    )
    return {"macro_f1": bootstrap(some)["macro_f1"]["value"]}


def _by_class(answers: MultilabelPredictions, target: Target) -> dict[str, dict[str, float | None]]:
    """Return F1 and average precision of each class that occurs."""
    found = {}
    for number, name in enumerate(target.classes):
        one = slice(number, number + 1)
        alone = MultilabelPredictions(
            answers.truth[:, one],
            answers.predicted[:, one],
            answers.probabilities[:, one],
            np.zeros_like(answers.groups),
        )
        told = bootstrap(alone)
        found[name] = {
            "photographs": int(alone.truth.sum()),
            "f1": told["macro_f1"]["value"],
            "average_precision": told["mean_average_precision"]["value"],
        }
    return found
