"""What a model must beat: answers of those who never look at a picture.

The most frequent class, the median setting, and what the data set's card warns of
(`lightmeter.labels.datasets.shortcuts`): decision trees
on what the manifest says of a photograph. They learn from the training split, and are asked about the very photographs
that the model is asked about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import Floats, bootstrap
from lightmeter.labels.datasets.dataset import Dataset, label_column
from lightmeter.labels.datasets.shortcuts import shortcut_predictions
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.evaluation.metrics.multilabel import MultilabelPredictions
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.loader import Row, class_numbers, class_sets, photograph_of, stops_of

Scored = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Blind:
    """What is known without a look at the pictures.

    Attributes:
        training: rows of the training split.
        told: which classes each photograph in question is said to have, shape (N, C), by what was looked at.
    """

    training: Sequence[Row]
    told: Mapping[str, NDArray[np.bool_]]


def blind(dataset: Dataset, rows: Sequence[Mapping[str, Any]], target: Target) -> Blind:
    """Learn from the training split what can be told of photographs without their pictures.

    Args:
        dataset: that holds them.
        rows: of ``predictions.parquet``, about one target.
        target: that is told.
    """
    every = dataset.rows()
    place = {photograph_of(row): number for number, row in enumerate(every)}
    learn = [
        number
        for number, row in enumerate(every)
        if row["split"] == "train" and row[label_column(target.name)] is not None
    ]
    told = shortcut_predictions(
        dataset.manifest.take(learn),
        dataset.manifest.take([place[photograph_of(row)] for row in rows]),
        dataset.spec.target(target.name),
    )
    return Blind([every[number] for number in learn], told)


def of_classes(
    answers: ClassPredictions, rows: Sequence[Mapping[str, Any]], target: Target, known: Blind, seed: int
) -> Scored:
    """Return the figures of each baseline where a photograph has one class."""
    numbers = class_numbers(known.training, target)
    frequent = int(np.bincount(numbers, minlength=answers.classes).argmax())
    settings = None if not target.stops else np.asarray([row["true_stops"] for row in rows], np.float64)

    def scored(classes: NDArray[np.int64], stops: Floats | float | None = None) -> dict[str, Any]:
        error = None if settings is None or stops is None else np.abs(settings - stops)
        return bootstrap(
            ClassPredictions(answers.truth, classes, answers.groups, answers.classes, error_stops=error), seed
        )

    constant = np.full_like(answers.truth, frequent)
    found: Scored = {"majority": {"class": target.classes[frequent], **scored(constant)}}
    if target.stops:
        median = float(np.nanmedian(stops_of(known.training, target)))
        nearest = int(np.abs(np.asarray(target.stops) - median).argmin())
        middle = scored(np.full_like(answers.truth, nearest), median)
        found["median"] = {"class": target.classes[nearest], "stops": median, **middle}
    for name, told in known.told.items():
        classes = told.argmax(1)
        found[name] = scored(classes, np.asarray(target.stops)[classes] if target.stops else None)
    return found


def of_sets(answers: MultilabelPredictions, target: Target, known: Blind, seed: int) -> Scored:
    """Return the figures of each baseline where a photograph can have several classes.

    ``constant`` says every class of every photograph, which of all constant answers has the greatest macro F1, and
    gives each class its share of the training photographs.
    """
    shares = np.mean(class_sets(known.training, target), 0)

    def scored(told: NDArray[np.bool_], probabilities: Floats) -> dict[str, Any]:
        return bootstrap(MultilabelPredictions(answers.truth, told, probabilities, answers.groups), seed)

    constant = scored(np.ones_like(answers.truth), np.broadcast_to(shares, answers.probabilities.shape))
    found: Scored = {"constant": {"shares": dict(zip(target.classes, shares.tolist(), strict=True)), **constant}}
    return found | {name: scored(told, told.astype(np.float64)) for name, told in known.told.items()}
