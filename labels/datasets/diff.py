"""In what two manifests differ, in words."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.labels.datasets.dataset import CROP_COLUMNS

_SHOWN = 3
_WORDS = {"split": "side"}


def differences(before: pa.Table, after: pa.Table) -> list[str]:
    """Return one sentence part for each way in which a manifest differs from an earlier one.

    Args:
        before: the earlier manifest.
        after: the later one.
    """
    old, new = _keys(before), _keys(after)
    place = pc.index_in(new, value_set=old)
    added, removed = new.filter(place.is_null()), old.filter(pc.invert(pc.is_in(old, value_set=new)))
    found = [
        f"{_counted(len(keys))} {what} ({_listed([key[:12] for key in keys.slice(0, _SHOWN).to_pylist()], len(keys))})"
        for what, keys in (("added", added), ("removed", removed))
        if len(keys)
    ]
    found += _changes(before.take(place.drop_null()), after.filter(place.is_valid()))
    if before.column_names != after.column_names:
        found.append("other columns")
    return found


def _keys(manifest: pa.Table) -> pa.Array:
    """Return what tells each row from the others: the photograph's hash, and its crop."""
    box = [pc.fill_null(manifest[name].cast(pa.string()), "") for name in CROP_COLUMNS]
    return pc.binary_join_element_wise(manifest["sha256"], *box, " ").combine_chunks()


def _changes(old: pa.Table, new: pa.Table) -> Iterator[str]:
    """Yield what changed in the rows that both have."""
    for column in new.column_names:
        if column not in old.column_names:
            continue
        was, now = _comparable(old[column]), _comparable(new[column])
        other = pc.fill_null(pc.not_equal(was, now), fill_value=False)
        rows = np.flatnonzero(pc.or_(other, pc.xor(was.is_null(), now.is_null())).to_numpy())
        if len(rows):
            shown = [
                f"{new['sha256'][row].as_py()[:12]}: {was[row].as_py() or 'none'} → {now[row].as_py() or 'none'}"
                for row in rows[:_SHOWN].tolist()
            ]
            yield f"{_counted(len(rows))} with another {_word(column)} ({_listed(shown, len(rows))})"


def _comparable(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join(values, ", ") if pa.types.is_list(values.type) else values


def _word(column: str) -> str:
    return _WORDS.get(column, column.replace("_", " of ", 1) if column.startswith(("label_", "stops_")) else column)


def _counted(number: int) -> str:
    return f"{number} photograph{'s' * (number != 1)}"


def _listed(shown: list[str], number: int) -> str:
    return ", ".join(shown) + (", …" if number > len(shown) else "")
