"""Inter-annotator agreement, (p_observed - p_chance) / (1 - p_chance).

Cohen's kappa (J. Cohen, 1960) of two annotators takes chance from the classes of each; Fleiss' kappa (J. L. Fleiss,
1971) of three or more takes it from the classes of all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from lightmeter.bootstrap import RESAMPLES, Estimate, estimate_from_draws
from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import Label
from lightmeter.labels.annotations.model import read_annotations
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.targets.base import Target


@dataclass(frozen=True)
class Agreement:
    """Agreement of annotators on the same photographs.

    Attributes:
        authors: The annotators.
        photographs: Number of photographs that all of them labelled.
        classes: Classes that any of them used, in the target's order.
        confusion: Number of photographs by class of the first and class of the second annotator; empty for more.
        accuracy: Fraction of photographs to which all gave the same class.
        method: ``cohen`` for two annotators, ``fleiss`` for more.
        kappa: Kappa with its 95 % interval, bootstrapped over photographs; 1 for full agreement, 0 for the agreement
            expected by chance.
    """

    authors: tuple[str, ...]
    photographs: int
    classes: tuple[str, ...]
    confusion: dict[str, dict[str, int]]
    accuracy: float
    method: str
    kappa: Estimate


def agreement(connection: Connection, target: Target[Any], authors: Sequence[str], where: str = "") -> Agreement:
    """Compare the newest labels of annotators.

    Args:
        connection: Catalogue connection.
        target: The target.
        authors: At least two authors of annotations.
        where: Query that selects photographs (default: all).

    Raises:
        UsageError: No photograph was labelled by all.
    """
    labels = _labels(connection, target, authors, where)
    if not labels:
        names = f"both {authors[0]} and {authors[1]}" if len(authors) == 2 else f"all of {', '.join(authors)}"
        raise UsageError(f"No photograph has labels of target {target.name} by {names}.")
    used = {name for row in labels for name in row}
    classes = (*(name for name in target.classes if name in used), *sorted(used - set(target.classes)))
    pairs = Counter((row[0], row[1]) for row in labels) if len(authors) == 2 else Counter[tuple[str, str]]()
    confusion = {row: {column: pairs[row, column] for column in classes} for row in classes} if pairs else {}
    if pairs:
        counts = np.asarray([[pairs[row, column] for column in classes] for row in classes])
        draws = np.random.default_rng(0).multinomial(len(labels), counts.ravel() / len(labels), size=RESAMPLES)
        kappa = estimate_from_draws(float(cohen_kappa(counts)), cohen_kappa(draws.reshape(-1, *counts.shape)))
    else:
        kappa = _fleiss_estimate(np.asarray([[row.count(name) for name in classes] for row in labels]))
    return Agreement(
        authors=tuple(authors),
        photographs=len(labels),
        classes=classes,
        confusion=confusion,
        accuracy=sum(len({*row}) == 1 for row in labels) / len(labels),
        method="cohen" if pairs else "fleiss",
        kappa=kappa,
    )


def cohen_kappa(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Cohen's kappa of confusion matrices; 1 if only one class was used.

    Vectorised over matrices: scikit-learn's ``cohen_kappa_score`` takes seconds for a bootstrap.

    Args:
        confusion: Numbers of photographs, shape (..., n_classes, n_classes).

    Returns:
        Kappa, shape (...).
    """
    total = confusion.sum(axis=(-2, -1))
    observed = np.trace(confusion, axis1=-2, axis2=-1) / total
    chance = (confusion.sum(axis=-2) * confusion.sum(axis=-1)).sum(axis=-1) / total**2
    return _kappa(observed, chance)


def fleiss_kappa(counts: NDArray[np.int64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Fleiss' kappa; 1 if only one class was used.

    Args:
        counts: Number of annotators by photograph and class, shape (n_photographs, n_classes); all rows have one sum.
        weights: How often each photograph counts, shape (..., n_photographs).

    Returns:
        Kappa, shape (...).
    """
    annotators = counts.sum(axis=1)[0]
    pairs = (counts * (counts - 1)).sum(axis=1) / (annotators * (annotators - 1))
    total = weights.sum(axis=-1)
    observed = weights @ pairs / total
    shares = weights @ counts / (total[..., None] * annotators)
    return _kappa(observed, (shares**2).sum(axis=-1))


def _fleiss_estimate(counts: NDArray[np.int64]) -> Estimate:
    patterns, times = np.unique(counts, axis=0, return_counts=True)
    draws = np.random.default_rng(0).multinomial(len(counts), times / len(counts), size=RESAMPLES)
    return estimate_from_draws(float(fleiss_kappa(patterns, times)), fleiss_kappa(patterns, draws))


def _kappa(observed: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.where(chance < 1, (observed - chance) / np.where(chance < 1, 1 - chance, 1), 1.0))


def _labels(connection: Connection, target: Target[Any], authors: Sequence[str], where: str) -> list[tuple[str, ...]]:
    """Return the labels of the photographs that all authors labelled, in the order of the authors."""
    rows: list[Any] = []
    for id_range in id_ranges(connection, where):
        newest: dict[tuple[int, str], str | None] = {}
        for annotation in read_annotations(connection, id_range.covers(Label.image_id), [target.name]):
            newest[annotation.image_id, annotation.author] = annotation.value
        for image in id_range.ids:
            labels = tuple(newest.get((image, author)) for author in authors)
            if None not in labels:
                rows.append(labels)
    spellings = target.spellings(Counter(value for row in rows for value in row))
    return [tuple(spellings.get(value, value) for value in row) for row in rows]
