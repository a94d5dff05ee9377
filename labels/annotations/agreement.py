"""Inter-annotator agreement: Cohen's kappa (J. Cohen, 1960), (p_observed - p_chance) / (1 - p_chance)."""

from collections import Counter
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
    """Agreement of two annotators on the same photographs.

    Attributes:
        photographs: Number of photographs that both labelled.
        classes: Classes that either used, in the target's order.
        confusion: Number of photographs by class of the first and class of the second annotator.
        accuracy: Fraction of photographs with the same class.
        kappa: Cohen's kappa with its 95 % interval, bootstrapped over photographs; 1 for full agreement, 0 for the
            agreement expected by chance.
    """

    photographs: int
    classes: tuple[str, ...]
    confusion: dict[str, dict[str, int]]
    accuracy: float
    kappa: Estimate


def agreement(connection: Connection, target: Target[Any], first: str, second: str, where: str = "") -> Agreement:
    """Compare the newest labels of two annotators.

    Args:
        connection: Catalogue connection.
        target: The target.
        first: Author of annotations.
        second: Another author.
        where: Query that selects photographs (default: all).

    Raises:
        UsageError: No photograph was labelled by both.
    """
    pairs = _pairs(connection, target, first, second, where)
    if not pairs:
        raise UsageError(f"No photograph has labels of target {target.name} by both {first} and {second}.")
    used = {name for pair in pairs for name in pair}
    classes = (*(name for name in target.classes if name in used), *sorted(used - set(target.classes)))
    counts, count = Counter(pairs), len(pairs)
    confusion = np.asarray([[counts[row, column] for column in classes] for row in classes])
    draws = np.random.default_rng(0).multinomial(count, confusion.ravel() / count, size=RESAMPLES)
    kappas = cohen_kappa(draws.reshape(-1, *confusion.shape))
    return Agreement(
        photographs=count,
        classes=classes,
        confusion={row: {column: counts[row, column] for column in classes} for row in classes},
        accuracy=float(np.trace(confusion)) / count,
        kappa=estimate_from_draws(float(cohen_kappa(confusion)), kappas),
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
    return np.asarray(np.where(chance < 1, (observed - chance) / np.where(chance < 1, 1 - chance, 1), 1.0))


def _pairs(connection: Connection, target: Target[Any], first: str, second: str, where: str) -> list[tuple[str, str]]:
    pairs: list[Any] = []
    for id_range in id_ranges(connection, where):
        newest: dict[tuple[int, str], str | None] = {}
        for annotation in read_annotations(connection, id_range.covers(Label.image_id), [target.name]):
            newest[annotation.image_id, annotation.author] = annotation.value
        for image in id_range.ids:
            labels = newest.get((image, first)), newest.get((image, second))
            if None not in labels:
                pairs.append(labels)
    return pairs
