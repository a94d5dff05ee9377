"""Differences between two data sets, as text."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import CROP_COLUMNS, SPLITS
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.text.numbers import counted

_MAX_LISTED = 3
_OPTIONS = ("seed", "ratios", "group_by", "min_per_class", "where", "holdout_source", "undersample", "crop")
_DERIVED = ("group", "path")
"""Columns that follow from the others: a group is named after its first photograph."""


def dataset_changes(before: Dataset, after: Dataset) -> list[str]:
    """Return one phrase per kind of difference: options, definitions of targets, photographs and their labels.

    Args:
        before: Earlier data set.
        after: Later data set.
    """
    return [*spec_changes(before, after), *differences(before.manifest, after.manifest, _DERIVED)]


def spec_changes(before: Dataset, after: Dataset) -> list[str]:
    """Return one phrase per difference of the options and of the definitions of targets."""
    old, new = before.spec.split, after.spec.split
    phrases = [
        f"{key.replace('_', ' ')} {_value(old.get(key))} → {_value(new.get(key))}"
        for key in _OPTIONS
        if old.get(key) != new.get(key)
    ]
    earlier, later = ({target.name: target for target in dataset.spec.targets} for dataset in (before, after))
    phrases += [f"target {name} removed" for name in earlier if name not in later]
    phrases += [f"target {name} added" for name in later if name not in earlier]
    for name in earlier.keys() & later.keys():
        phrases += _target_changes(earlier[name], later[name])
    return phrases


def _target_changes(before: TargetSpec, after: TargetSpec) -> Iterator[str]:
    name, changes = before.name, []
    if {*before.classes} == {*after.classes} and before.classes != after.classes:
        changes.append(f"order of the classes of {name}: {', '.join(before.classes)} → {', '.join(after.classes)}")
    for verb, classes, others in (("added", after, before), ("removed", before, after)):
        names = [item for item in classes.classes if item not in others.classes]
        if names:
            changes.append(f"classes {verb} in {name}: {_list(names)}")
    old, new = _flat(before.definition), _flat(after.definition)
    changes += [
        f"{key} of {name} {_value(old.get(key))} → {_value(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if before.version != after.version:
        yield f"definition of {name} {before.version} → {after.version}"
        yield from changes
    else:
        yield from (f"{change} (both version {after.version})" for change in changes)


def _flat(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a definition, those of a class under its name: ``'to' of class fast``."""
    values = {key: value for key, value in definition.items() if key != "classes"}
    for item in definition.get("classes", ()):
        values |= {f"'{key}' of class {item.get('name')}": value for key, value in item.items() if key != "name"}
    return values


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None or value == "" else str(value)


def differences(before: pa.Table, after: pa.Table, ignored: Collection[str] = ()) -> list[str]:
    """Return one phrase per kind of difference between two manifests.

    Args:
        before: Earlier manifest.
        after: Later manifest.
        ignored: Columns that are not compared.
    """
    old, new = _keys(before), _keys(after)
    rows = pc.index_in(new, value_set=old)
    added, removed = after.filter(rows.is_null()), before.filter(pc.invert(pc.is_in(old, value_set=new)))
    phrases = [
        f"{_photographs(table.num_rows)} {verb} ({_counts(table)}: "
        f"{_list([sha256[:12] for sha256 in table['sha256'].to_pylist()])})"
        for verb, table in (("added", added), ("removed", removed))
        if table.num_rows
    ]
    columns = [name for name in after.column_names if name not in ignored]
    phrases += _changes(before.take(rows.drop_null()), after.filter(rows.is_valid()).select(columns))
    if before.column_names != after.column_names:
        phrases.append("different columns")
    return phrases


def _counts(table: pa.Table) -> str:
    """Return the number of rows of each split as text."""
    counts = {row["values"]: row["counts"] for row in table["split"].value_counts().to_pylist()}
    return ", ".join(f"{counts[split]} {split}" for split in SPLITS if split in counts)


def _keys(manifest: pa.Table) -> pa.Array:
    """Return the unique key of each row: SHA-256 and crop."""
    box = [pc.fill_null(manifest[name].cast(pa.string()), "") for name in CROP_COLUMNS]
    return pc.binary_join_element_wise(manifest["sha256"], *box, " ").combine_chunks()


def _changes(before: pa.Table, after: pa.Table) -> Iterator[str]:
    """Yield the columns that differ in rows that both manifests have."""
    for column in after.column_names:
        if column in before.column_names:
            old, new = (_as_text(table[column]) for table in (before, after))
            rows = np.flatnonzero(differs(old, new))
            changes = [
                f"{after['sha256'][row].as_py()[:12]}: {old[row].as_py() or 'none'} → {new[row].as_py() or 'none'}"
                for row in rows[: _MAX_LISTED + 1].tolist()
            ]
            if changes:
                title = column.replace("_", " for ", 1) if column.startswith(("label_", "stops_")) else column
                yield f"{_photographs(len(rows))} with a different {title} ({_list(changes)})"


def differs(old: pa.ChunkedArray, new: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a mask of the values that differ; null equals null."""
    unequal = pc.fill_null(pc.not_equal(old, new), fill_value=False)
    return pc.or_(unequal, pc.xor(old.is_null(), new.is_null()))


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return lists as text, which can be compared; other values as they are."""
    return pc.binary_join(values, ", ") if pa.types.is_list(values.type) else values


def _photographs(count: int) -> str:
    return counted(count, "photograph")


def _list(items: list[str]) -> str:
    return ", ".join(items[:_MAX_LISTED]) + (", …" if len(items) > _MAX_LISTED else "")
