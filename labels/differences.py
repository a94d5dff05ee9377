"""In what two manifests differ, in words."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_SHOWN = 3


def differences(before: pa.Table, after: pa.Table) -> list[str]:
    """Return one sentence part for each way in which a manifest differs from an earlier one.

    Args:
        before: the earlier manifest.
        after: the later one.
    """
    old, new = _by_hash(before), _by_hash(after)
    both = sorted(old.keys() & new.keys())
    ways = [
        ("added", sorted(new.keys() - old.keys())),
        ("removed", sorted(old.keys() - new.keys())),
        *((f"with another {_word(column)}", _changed(both, old, new, column)) for column in _columns(before, after)),
    ]
    found = [f"{_counted(hashes)} {what} ({_some(hashes)})" for what, hashes in ways if hashes]
    if before.column_names != after.column_names:
        found.append("other columns")
    return found


def _by_hash(table: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["sha256"]: row for row in table.to_pylist()}


def _columns(before: pa.Table, after: pa.Table) -> Iterator[str]:
    return (name for name in before.column_names if name in after.column_names and name != "sha256")


def _changed(both: list[str], old: dict[str, Any], new: dict[str, Any], column: str) -> list[str]:
    return [sha256 for sha256 in both if old[sha256][column] != new[sha256][column]]


def _word(column: str) -> str:
    return {"split": "side"}.get(column, column.replace("_", " of ", 1) if column.startswith("label_") else column)


def _counted(hashes: list[str]) -> str:
    return f"{len(hashes)} photograph{'s' * (len(hashes) != 1)}"


def _some(hashes: list[str]) -> str:
    shown = ", ".join(one[:12] for one in hashes[:_SHOWN])
    return f"{shown}, …" if len(hashes) > _SHOWN else shown
