"""Differences between two manifests, as text."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.labels.datasets.dataset import CROP_COLUMNS

_MAX_LISTED = 3


def differences(before: pa.Table, after: pa.Table) -> list[str]:
    """Return one phrase per kind of difference.

    Args:
        before: Earlier manifest.
        after: Later manifest.
    """
    old, new = _keys(before), _keys(after)
    rows = pc.index_in(new, value_set=old)
    added, removed = new.filter(rows.is_null()), old.filter(pc.invert(pc.is_in(old, value_set=new)))
    phrases = [
        f"{_photographs(len(keys))} {verb} ({_list([key[:12] for key in keys.to_pylist()])})"
        for verb, keys in (("added", added), ("removed", removed))
        if len(keys)
    ]
    phrases += _changes(before.take(rows.drop_null()), after.filter(rows.is_valid()))
    if before.column_names != after.column_names:
        phrases.append("different columns")
    return phrases


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
    return f"{count} photograph{'s' * (count != 1)}"


def _list(items: list[str]) -> str:
    return ", ".join(items[:_MAX_LISTED]) + (", …" if len(items) > _MAX_LISTED else "")
