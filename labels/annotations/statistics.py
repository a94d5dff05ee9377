"""Statistics of the labels of a target: classes, origins, exclusions and the distribution of values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from lightmeter.harvest.catalogue.models import Inspection, Label
from lightmeter.labels.annotations.model import read_annotations, resolve_conflicts
from lightmeter.labels.annotations.photo_facts import IdRange, id_ranges
from lightmeter.labels.annotations.rules import decisions
from lightmeter.labels.targets.base import Target, split_classes

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

THIRD_STOP = 1 / 3  # the usual distance between two settings of a camera


@dataclass
class Statistics:
    """Statistics of the effective labels of a target.

    Attributes:
        photographs: Number of decodable photographs.
        labelled: Number of photographs with a label.
        classes: Labels by class, in the target's order; open classes by descending frequency.
        origins: Labels by origin.
        excluded: Photographs without a label, by the reason of the rule (ambiguity bands, missing EXIF).
        filtered: Labelled photographs that each filter would drop.
        in_class: Numbers that the rule assigns to a class, in the target's unit.
        outside: Numbers outside every class.
    """

    photographs: int = 0
    labelled: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    origins: Counter[str] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)
    in_class: list[float] = field(default_factory=list, repr=False)
    outside: list[float] = field(default_factory=list, repr=False)

    def histogram(self, unit: str, max_bins: int) -> tuple[Values, Counts, Counts]:
        """Return a histogram of the numbers before binning.

        Args:
            unit: Unit of the target.
            max_bins: Maximum number of bins.

        Returns:
            Bin edges, shape (bins + 1,); numbers in a class and numbers outside, shape (bins,).
        """
        edges = histogram_edges([*self.in_class, *self.outside], unit, max_bins)
        return edges, np.histogram(self.in_class, edges)[0], np.histogram(self.outside, edges)[0]


def statistics(engine: Engine, target: Target[Any], where: str = "") -> Statistics:
    """Return statistics of the labels of a target.

    Args:
        engine: Catalogue engine.
        target: The target.
        where: Query that selects photographs (default: all).
    """
    result = Statistics(classes=dict.fromkeys(target.classes, 0))
    with engine.connect() as connection:
        for id_range in id_ranges(connection, where):
            _add_batch(connection, id_range, target, result)
    result.classes = _count_classes(result.classes, target)
    if not target.classes:
        result.classes = dict(sorted(result.classes.items(), key=lambda item: (-item[1], item[0])))
    return result


def _count_classes(written: Mapping[str, int], target: Target[Any]) -> dict[str, int]:
    """Return the counts of classes that are spelled alike."""
    spellings, counts = target.spellings(written), Counter(dict.fromkeys(target.classes, 0))
    for name, count in written.items():
        counts[spellings.get(name, name)] += count
    return dict(counts)


def histogram_edges(numbers: Sequence[float] | Values, unit: str, max_bins: int) -> Values:
    """Return bin edges with camera settings in the middle of the bins.

    Args:
        numbers: At least one number.
        unit: Unit of the target: bins are multiples of a third of a stop wide, of focal lengths in millimetres too.
        max_bins: Maximum number of bins.

    Returns:
        Edges, shape (bins + 1,).
    """
    values = np.log2(np.maximum(numbers, 1.0)) if unit == "mm" else np.asarray(numbers)
    low, high = floor(min(values) / THIRD_STOP + 0.5), floor(max(values) / THIRD_STOP + 0.5)
    steps_per_bin = ceil((high - low + 1) / max_bins)
    bins = ceil((high - low + 1) / steps_per_bin)
    edges: Values = (low - 0.5 + steps_per_bin * np.arange(bins + 1)) * THIRD_STOP
    return np.asarray(np.exp2(edges)) if unit == "mm" else edges


def _add_batch(connection: Connection, id_range: IdRange, target: Target[Any], result: Statistics) -> None:
    labels = resolve_conflicts(read_annotations(connection, id_range.covers(Label.image_id), [target.name]))
    labelled = set()
    for facts, _, decision in decisions(connection, id_range, [target]):
        result.photographs += 1
        if decision.number is not None:
            (result.in_class if decision.value else result.outside).append(decision.number)
        label = labels.get((facts.image_id, target.name))
        if label is None or label.value is None:
            result.excluded[decision.reason or "rule not applied yet"] += 1
            continue
        labelled.add(facts.image_id)
        result.origins[label.origin] += 1
        for name in split_classes(label.value):
            result.classes[name] = result.classes.get(name, 0) + 1
    result.labelled += len(labelled)
    dropped = select(Inspection.image_id, Inspection.filter).where(Inspection.verdict == "drop")
    for image_id, name in connection.execute(dropped.where(id_range.covers(Inspection.image_id))):
        result.filtered[name] += image_id in labelled
