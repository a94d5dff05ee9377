"""Counting a data set's photographs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.labels.datasets.dataset import SPLITS, DatasetSpec, Split, TargetSpec, label_column


def labels_with(manifest: pa.Table, target: TargetSpec, column: str) -> pa.Table:
    """Return the columns ``label`` and another of the manifest, a row for each class that a photograph has."""
    labels = manifest.column(label_column(target.name))
    if not target.multilabel:
        return pa.table({"label": labels, column: manifest.column(column)}).filter(labels.is_valid())
    lists = labels.combine_chunks()
    values = manifest.column(column).take(pc.list_parent_indices(lists))
    return pa.table({"label": pc.list_flatten(lists), column: values})


def class_counts(manifest: pa.Table, target: TargetSpec) -> dict[str, dict[Split, int]]:
    """Return the photographs of each class on each side; one that has several classes counts in each."""
    counted = labels_with(manifest, target, "split").group_by(["label", "split"]).aggregate([([], "count_all")])
    found = {(row["label"], row["split"]): row["count_all"] for row in counted.to_pylist()}
    return {name: {side: found.get((name, side), 0) for side in SPLITS} for name in target.classes}


def class_table(
    spec: DatasetSpec, counts: Mapping[str, Mapping[Split, int]]
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return headings and rows of the table of a target's classes, with how far each is from its share.

    Args:
        spec: of the data set.
        counts: of each class on each side.
    """
    wanted = _wanted(spec.split)
    rows = [(name, *of.values(), _shares(of), _off(of, wanted)) for name, of in counts.items()]
    width = len(SPLITS) + (3 if wanted else 2)
    return ("class", *SPLITS, "shares in %", "off by at most")[:width], [row[:width] for row in rows]


def _wanted(choices: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the shares that the sides were to have; none where a source decides."""
    if choices.get("holdout_source"):
        return ()
    folds = choices.get("folds", 0)
    return (1 - 2 / folds, 1 / folds, 1 / folds) if folds else tuple(choices["ratios"])


def _shares(of: Mapping[Split, int]) -> str:
    total = sum(of.values())
    return " / ".join(f"{100 * count / total:.1f}" for count in of.values()) if total else "–"


def _off(of: Mapping[Split, int], wanted: Sequence[float]) -> str:
    total = sum(of.values())
    if not total or not wanted:
        return "–"
    points = max(abs(100 * count / total - 100 * share) for count, share in zip(of.values(), wanted, strict=True))
    return f"{points:.1f} points"


class Facet(NamedTuple):
    """How photographs spread over something else than their classes.

    Attributes:
        title: of what, in the plural.
        rows: what there is, None for unknown, with its photographs by side; the commonest first, years in order.
    """

    title: str
    rows: list[tuple[str | None, dict[Split, int]]]


def facets(manifest: pa.Table) -> list[Facet]:
    """Count photographs by licence, source, camera, photographer and year."""
    columns = {
        "Licences": manifest["licence"],
        "Sources": manifest["source"],
        "Cameras": _cameras(manifest),
        "Photographers": manifest["owner"],
        "Years": pc.utf8_slice_codeunits(manifest["taken_at"], 0, 4),
    }
    return [Facet(title, _spread(values, manifest["split"], title)) for title, values in columns.items()]


def _cameras(manifest: pa.Table) -> pa.ChunkedArray:
    """Return make and model as one name, without what the model repeats: ``Canon EOS 5D``, not twice ``Canon``."""
    make, model = (pc.fill_null(manifest[name], "") for name in ("make", "model"))
    written = pc.binary_join_element_wise(make, model, " ").combine_chunks().dictionary_encode()
    names = []
    for words in map(str.split, written.dictionary.to_pylist()):
        again = words.index(words[0], 1) if words and words[0] in words[1:] else 0
        names.append(" ".join(words[again:]) or None)
    return pa.chunked_array([pa.array(names, pa.string()).take(written.indices)])


def _spread(values: pa.ChunkedArray, sides: pa.ChunkedArray, title: str) -> list[tuple[str | None, dict[Split, int]]]:
    counted = pa.table({"value": values, "split": sides}).group_by(["value", "split"]).aggregate([([], "count_all")])
    found: dict[str | None, dict[Split, int]] = {}
    for row in counted.to_pylist():
        found.setdefault(row["value"], dict.fromkeys(SPLITS, 0))[row["split"]] = row["count_all"]
    if title == "Years":
        return sorted(found.items(), key=lambda item: (item[0] is None, item[0]))
    return sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0] is None, str(item[0])))
