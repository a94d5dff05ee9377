"""How far two people agree: Cohen's kappa (J. Cohen, 1960), (p_observed − p_chance) / (1 − p_chance)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import Label
from lightmeter.labels.annotations import model as statements
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.targets.base import Target

_RESAMPLES = 1_000


@dataclass(frozen=True)
class Agreement:
    """What two people said of the same photographs.

    Attributes:
        photographs: that both labelled.
        classes: that either used, in the target's order.
        confusion: photographs by what the first and the second said.
        kappa: 1 for full agreement, 0 for what chance would give.
        interval: of kappa, 95 %, bootstrapped over photographs.
    """

    photographs: int
    classes: tuple[str, ...]
    confusion: dict[str, dict[str, int]]
    kappa: float
    interval: tuple[float, float]

    @property
    def agreed(self) -> float:
        """The share of photographs of which both said the same."""
        return sum(self.confusion[name][name] for name in self.classes) / self.photographs


def agreement(connection: Connection, target: Target[Any], one: str, other: str, where: str = "") -> Agreement:
    """Compare the newest labels of two authors.

    Args:
        connection: to the catalogue.
        target: whose labels.
        one: an author.
        other: another author.
        where: a query that chooses photographs; empty for all.

    Raises:
        UsageError: if there is no photograph that both labelled.
    """
    pairs = _pairs(connection, target, one, other, where)
    if not pairs:
        raise UsageError(f"There is no photograph of which both {one} and {other} told the {target.name}.")
    used = {name for pair in pairs for name in pair}
    classes = (*(name for name in target.classes if name in used), *sorted(used - set(target.classes)))
    number = {name: index for index, name in enumerate(classes)}
    codes = np.asarray([(number[first], number[second]) for first, second in pairs])
    table = _confusion(codes, len(classes))
    random = np.random.default_rng(0)
    drawn = [codes[random.integers(len(codes), size=len(codes))] for _ in range(_RESAMPLES)]
    low, high = np.quantile([kappa(_confusion(sample, len(classes))) for sample in drawn], (0.025, 0.975))
    by_name = {first: {second: int(table[number[first], number[second]]) for second in classes} for first in classes}
    return Agreement(len(pairs), classes, by_name, kappa(table), (float(low), float(high)))


def kappa(confusion: NDArray[np.int64]) -> float:
    """Return Cohen's kappa of a confusion matrix, shape (classes, classes); 1 where only one class was ever used."""
    total = confusion.sum()
    chance = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / total**2
    return float((np.trace(confusion) / total - chance) / (1 - chance)) if chance < 1 else 1.0


def _confusion(codes: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    flat = np.bincount(codes[:, 0] * classes + codes[:, 1], minlength=classes * classes)
    return flat.reshape(classes, classes)


def _pairs(connection: Connection, target: Target[Any], one: str, other: str, where: str) -> list[tuple[str, str]]:
    pairs = []
    for span in id_ranges(connection, where):
        said: dict[tuple[int, str], str | None] = {}
        for statement in statements.read(connection, span.covers(Label.image_id), [target.name]):
            if statement.author in (one, other):
                said[statement.image_id, statement.author] = statement.value
        for image in span.ids:
            first, second = said.get((image, one)), said.get((image, other))
            if first is not None and second is not None:
                pairs.append((first, second))
    return pairs
