"""Classes of the labelled photographs: frequent enough for every split, or excluded."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.collect import has_label
from lightmeter.labels.datasets.manifest import SPLITS, label_column, stops_column
from lightmeter.labels.targets.base import SEPARATOR, Target, equal_classes_problem, split_classes

Targets = Sequence[Target[Any]]

_MAX_LISTED = 8


@dataclass(frozen=True)
class RareClass:
    """A class with few photographs or groups: excluded because it cannot be in every split, or small in one split."""

    target: str
    name: str
    photographs: int
    groups: int


def frequent_classes(
    table: pa.Table,
    targets: Targets,
    min_photographs: Mapping[str, int],
    kept: Mapping[str, Collection[str]] | None = None,
) -> tuple[dict[str, tuple[str, ...]], list[RareClass]]:
    """Return the classes with enough photographs and groups, and the others.

    Args:
        table: Photographs with labels and the column ``group``.
        targets: Targets of the labels.
        min_photographs: Minimum number of photographs of a class, by target name.
        kept: Classes that count as frequent whatever their numbers, by target name.

    Returns:
        The frequent classes of each target in order, and the rare ones.

    Raises:
        UsageError: A target has fewer than two frequent classes, or two that would share a folder.
    """
    classes: dict[str, tuple[str, ...]] = {}
    rare_classes: list[RareClass] = []
    for target in targets:
        minimum, names = min_photographs[target.name], (kept or {}).get(target.name, ())
        counted = _count_photographs(table, target)
        rare = [item for item in counted if item.photographs < minimum or item.groups < len(SPLITS)]
        rare = [item for item in rare if item.name not in names]
        classes[target.name] = tuple(item.name for item in counted if item not in rare)
        if len(classes[target.name]) < 2:
            raise UsageError(_too_few_classes(target.name, classes[target.name], rare, minimum))
        if problem := equal_classes_problem(classes[target.name]):
            raise UsageError(f"Target {target.name}: {problem}; exclude one of them with --where.")
        rare_classes += rare
    return classes, rare_classes


def _count_photographs(table: pa.Table, target: Target[Any]) -> list[RareClass]:
    """Return all classes with their numbers of photographs and groups, in the target's order or by name."""
    labels = class_rows(table.select(["group", label_column(target.name)]), target)
    counts = labels.group_by("class").aggregate([("group", "count"), ("group", "count_distinct")])
    by_name = {
        row["class"]: RareClass(target.name, row["class"], row["group_count"], row["group_count_distinct"])
        for row in counts.to_pylist()
    }
    return [by_name[name] for name in target.classes or sorted(by_name) if name in by_name]


def class_rows(table: pa.Table, target: Target[Any]) -> pa.Table:
    """Return one row per class of each photograph, with the column ``class``.

    Args:
        table: Photographs with the labels of the target.
        target: A photograph of a multilabel target has one row for each of its classes.
    """
    labels = table[label_column(target.name)].combine_chunks()
    lists = pa.array(map(split_classes, labels.dictionary.to_pylist()), pa.list_(pa.string())).take(labels.indices)
    return table.take(pc.list_parent_indices(lists)).append_column("class", pc.list_flatten(lists))


def drop_other_classes(table: pa.Table, targets: Targets, classes: Mapping[str, Sequence[str]]) -> pa.Table:
    """Remove all other classes from the labels, and photographs that have no label left.

    Args:
        table: Photographs with labels.
        targets: Targets of the labels.
        classes: Classes to keep, in order, by target name.
    """
    for target in targets:
        label, stops = label_column(target.name), stops_column(target.name)
        order = {name: index for index, name in enumerate(classes[target.name])}
        labels = table[label].combine_chunks()
        named = [set(split_classes(value)) & order.keys() for value in labels.dictionary.to_pylist()]
        values = pa.array(
            [SEPARATOR.join(sorted(names, key=order.__getitem__)) or None for names in named], pa.string()
        )
        labels = values.take(labels.indices)
        table = table.set_column(table.column_names.index(label), label, labels.dictionary_encode())
        numbers = pc.if_else(labels.is_valid(), table[stops], None)
        table = table.set_column(table.column_names.index(stops), stops, numbers)
    mask = has_label(table, targets)
    return table if pc.all(mask).as_py() else table.filter(mask)  # a copy would double the peak memory


def format_rare_classes(rare: Sequence[RareClass]) -> str:
    """Return rare classes as text: the most frequent ones and the number of the others."""
    shown = sorted(rare, key=lambda item: -item.photographs)[:_MAX_LISTED]
    texts = [f"{item.name} ({item.photographs} in {item.groups})" for item in shown]
    return ", ".join(texts) + (f" and {len(rare) - len(shown)} more" if len(rare) > len(shown) else "")


def _too_few_classes(target: str, classes: Sequence[str], rare: Sequence[RareClass], minimum: int) -> str:
    remaining = f"only the class {classes[0]}" if classes else "no class"
    others = f" Classes with photographs and groups: {format_rare_classes(rare)}." if rare else ""
    return (
        f"Target {target} has {remaining} with at least {minimum} photographs in {len(SPLITS)} groups; a data set "
        f"needs two.{others} Harvest more photographs or lower --min-per-class."
    )
