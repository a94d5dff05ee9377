"""Counts of a data set by class, licence, source, camera, photographer and year."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.labels.datasets.dataset import SPLITS, DatasetSpec, Split, TargetSpec, label_column

SplitCounts = Mapping[Split, int]


class Facet(NamedTuple):
    """Counts by the values of one property.

    Attributes:
        title: Property in the plural, for example ``Licences``.
        rows: Each value, None for unknown, with its counts by split. Most frequent first; years in order.
    """

    title: str
    rows: list[tuple[str | None, SplitCounts]]


def class_counts(manifest: pa.Table, target: TargetSpec) -> dict[str, SplitCounts]:
    """Count photographs by class and split; one with several classes counts in each."""
    labels = manifest[label_column(target.name)]
    splits = manifest["split"]
    if target.multilabel:
        lists = labels.combine_chunks()
        labels, splits = pc.list_flatten(lists), splits.take(pc.list_parent_indices(lists))
    counts = dict(_count(labels, splits))
    return {name: counts.get(name, dict.fromkeys(SPLITS, 0)) for name in target.classes}


def class_table(
    spec: DatasetSpec, counts: Mapping[str, SplitCounts]
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return headings and rows of a table of classes, with the deviation from the requested ratios.

    Args:
        spec: Spec of the data set.
        counts: Counts of each class by split.
    """
    ratios = _ratios(spec.split)
    headings = ("class", *SPLITS, "split in %", "max. deviation")
    rows = []
    for name, by_split in counts.items():
        total = sum(by_split.values())
        shares = [100 * count / total for count in by_split.values()] if total else []
        deviation = max((abs(share - 100 * ratio) for share, ratio in zip(shares, ratios, strict=False)), default=None)
        text = "–" if deviation is None else f"{deviation:.1f} points"
        rows.append((name, *by_split.values(), " / ".join(f"{share:.1f}" for share in shares) or "–", text))
    return (headings, rows) if ratios else (headings[:-1], [row[:-1] for row in rows])


def _ratios(split: Mapping[str, Any]) -> Sequence[float]:
    """Return the requested share of each split; empty with a held-out source."""
    if split.get("holdout_source"):
        return ()
    folds = split.get("folds")
    return (1 - 2 / folds, 1 / folds, 1 / folds) if folds else split["ratios"]


def facets(manifest: pa.Table) -> list[Facet]:
    """Count photographs by licence, source, camera, photographer and year."""
    columns = {
        "Licences": manifest["licence"],
        "Sources": manifest["source"],
        "Cameras": _cameras(manifest),
        "Photographers": manifest["owner"],
    }
    splits, years = manifest["split"], pc.utf8_slice_codeunits(manifest["taken_at"], 0, 4)
    by_frequency = [
        Facet(title, sorted(_count(values, splits), key=lambda row: (-sum(row[1].values()), _unknown_last(row))))
        for title, values in columns.items()
    ]
    return [*by_frequency, Facet("Years", sorted(_count(years, splits), key=_unknown_last))]


def _unknown_last(row: tuple[str | None, SplitCounts]) -> tuple[bool, str]:
    return row[0] is None, row[0] or ""


def _cameras(manifest: pa.Table) -> pa.ChunkedArray:
    """Return make and model as one name without repetition: ``Canon EOS 5D``, not ``Canon Canon EOS 5D``."""
    make, model = (pc.fill_null(manifest[name], "") for name in ("make", "model"))
    joined = pc.binary_join_element_wise(make, model, " ").combine_chunks().dictionary_encode()
    names = []
    for words in map(str.split, joined.dictionary.to_pylist()):
        start = words.index(words[0], 1) if words and words[0] in words[1:] else 0
        names.append(" ".join(words[start:]) or None)
    return pa.chunked_array([pa.array(names, pa.string()).take(joined.indices)])


def _count(values: pa.ChunkedArray, splits: pa.ChunkedArray) -> list[tuple[str | None, SplitCounts]]:
    rows = pa.table({"value": values, "split": splits}).group_by(["value", "split"]).aggregate([([], "count_all")])
    counts: dict[str | None, dict[Split, int]] = {}
    for row in rows.to_pylist():
        counts.setdefault(row["value"], dict.fromkeys(SPLITS, 0))[row["split"]] = row["count_all"]
    return list(counts.items())
