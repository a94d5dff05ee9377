"""Verify a data set: its files are unchanged, and nothing leaks between its splits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.datasets.components import name_codes
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.diff import differs
from lightmeter.labels.datasets.photographs import MANIFEST_EXIF, SCHEMA, read_photographs
from lightmeter.labels.datasets.splits.groups import group_keys

_MAX_EXAMPLES = 3
_HASH_LENGTH = 64
LEAKS = {
    "owner": "photographers in several splits",
    "body": "camera bodies in several splits",
    "camera": "photographers' cameras in several splits",
    "duplicates": "near-duplicates in several splits",
}
"""What is in several splits, by the kind of key."""


@dataclass(frozen=True)
class Violation:
    """A property of data sets that does not hold.

    Attributes:
        description: What is wrong, for example ``groups in several splits``.
        count: Number of photographs, groups or keys concerned.
        examples: Some of them.
    """

    description: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        examples = ", ".join(example[:16] if len(example) == _HASH_LENGTH else example for example in self.examples)
        return f"{self.count} {self.description} ({examples}{', …' if self.count > len(self.examples) else ''})"


def verify(
    dataset: Dataset, connection: Connection | None, on_progress: Callable[[int], object] = lambda _: None
) -> list[Violation]:
    """Return the violations of a data set.

    Args:
        dataset: Data set; reading it has checked the manifest's SHA-256.
        connection: Catalogue connection. Without one, only manifest and files are checked.
        on_progress: Called with the number of photographs hashed since the last call.
    """
    checks = _violations(dataset, connection, on_progress)
    return [Violation(text, len(items), tuple(items[:_MAX_EXAMPLES])) for text, items in checks if items]


def _violations(
    dataset: Dataset, connection: Connection | None, on_progress: Callable[[int], object]
) -> Iterator[tuple[str, list[str]]]:
    manifest, group_by = dataset.manifest, dataset.spec.split.get("group_by", ())
    yield "photographs in several splits", _in_several_splits(manifest["sha256"], manifest["split"])
    yield "groups in several splits", _in_several_splits(manifest["group"], manifest["split"])
    if connection is not None:
        photographs = _read_catalogue(connection, manifest)
        yield from _leaks(photographs, manifest, group_by)
        missing = pc.invert(pc.is_in(manifest["sha256"], value_set=photographs["sha256"].combine_chunks()))
        yield "photographs missing or damaged in the catalogue", _hashes(manifest, missing)
        yield "photographs with different EXIF in the catalogue", _different_exif(photographs, manifest)
    elif "photographer" in group_by:
        yield LEAKS["owner"], _owners_in_several_splits(manifest)
    yield from _files(dataset, on_progress)


def _in_several_splits(keys: pa.ChunkedArray, splits: pa.ChunkedArray) -> list[str]:
    rows = pa.table({"key": keys, "split": splits}).filter(keys.is_valid())
    counts = rows.group_by("key").aggregate([("split", "count_distinct")])
    return sorted(map(str, counts["key"].filter(pc.greater(counts["split_count_distinct"], 1)).to_pylist()))


def _owners_in_several_splits(manifest: pa.Table) -> list[str]:
    """Return the first spelling of each owner who is in several splits."""
    keys = name_codes(manifest["owner"])
    named = np.flatnonzero(keys >= 0)
    leaking = _in_several_splits(pa.chunked_array([pa.array(keys[named])]), manifest["split"].take(pa.array(named)))
    return [manifest["owner"][int(np.argmax(keys == int(key)))].as_py() for key in leaking]


def _read_catalogue(connection: Connection, manifest: pa.Table) -> pa.Table:
    """Return the current catalogue columns of a data set's photographs."""
    hashes = pc.unique(manifest["sha256"])
    tables = [SCHEMA.empty_table()]
    for id_range in id_ranges(connection):
        photographs = read_photographs(connection, id_range)
        tables.append(photographs.filter(pc.is_in(photographs["sha256"], hashes)))
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _leaks(photographs: pa.Table, manifest: pa.Table, group_by: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield keys that are in several splits according to the current catalogue, one photograph of each."""
    splits = manifest["split"].take(_manifest_rows(photographs, manifest))
    for kind, (rows, keys) in group_keys(photographs, group_by).items():
        leaking = _in_several_splits(pa.chunked_array([pa.array(keys)]), splits.take(pa.array(rows)))
        first_rows = [int(rows[np.argmax(keys == int(key))]) for key in leaking]
        names = photographs["owner" if kind == "owner" else "sha256"].take(pa.array(first_rows, pa.int64()))
        yield LEAKS[kind], sorted(map(str, names.to_pylist()))


def _different_exif(photographs: pa.Table, manifest: pa.Table) -> list[str]:
    frozen = manifest.take(_manifest_rows(photographs, manifest))
    different = np.zeros(photographs.num_rows, dtype=bool)
    for name in MANIFEST_EXIF:
        different |= differs(frozen[name], photographs[name].cast(frozen[name].type)).to_numpy()
    return _hashes(photographs, pa.array(different))


def _files(dataset: Dataset, on_progress: Callable[[int], object]) -> Iterator[tuple[str, list[str]]]:
    problems: dict[str | None, list[str]] = {"missing": [], "damaged": []}
    for sha256 in pc.unique(dataset.manifest["sha256"]).to_pylist():
        problems.setdefault(dataset.store.fault(sha256), []).append(sha256)
        on_progress(1)
    yield "photographs missing in the store", problems["missing"]
    yield "photographs with changed bytes", problems["damaged"]


def _manifest_rows(photographs: pa.Table, manifest: pa.Table) -> pa.ChunkedArray:
    return pc.index_in(photographs["sha256"], value_set=manifest["sha256"].combine_chunks())


def _hashes(table: pa.Table, mask: pa.Array | pa.ChunkedArray) -> list[str]:
    return sorted(pc.unique(table["sha256"].filter(mask)).to_pylist())
