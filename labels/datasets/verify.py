"""Checking a data set that was frozen before: is it still what it says, and does nothing leak?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection

from lightmeter.files import sha256_of
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.datasets.dataset import MANIFEST_FILE, Dataset
from lightmeter.labels.datasets.groups import links
from lightmeter.labels.datasets.photographs import EXIF_COLUMNS, SCHEMA, photographs

_SHOWN = 3
_KINDS = {
    "owner": "photographers on two sides",
    "body": "camera bodies on two sides",
    "camera": "photographers' cameras on two sides",
    "duplicates": "near-identical pictures on two sides",
}


@dataclass(frozen=True)
class Violation:
    """Something that is wrong with a data set.

    Attributes:
        what: in words.
        count: how many times.
        examples: some of the photographs or groups.
    """

    what: str
    count: int
    examples: tuple[str, ...]

    def sentence(self) -> str:
        """Return the problem to read."""
        shown = ", ".join(one[:16] for one in self.examples)
        return f"{self.count} {self.what} ({shown}{', …' if self.count > len(self.examples) else ''})"


def verify(
    dataset: Dataset, connection: Connection | None, advance: Callable[[int], object] = lambda _: None
) -> list[Violation]:
    """Return what is wrong with a data set whose manifest is the one that its spec names.

    Args:
        dataset: as read.
        connection: to the catalogue; None where there is none: then EXIF is not compared, and who belongs with whom is
            taken from the manifest.
        advance: told how many photographs were hashed.
    """
    manifest = dataset.manifest
    by = dataset.spec.split.get("group", ())
    found = [("groups on two sides", _on_two_sides(manifest["group"], manifest["split"]))]
    if connection is None:
        owners = _on_two_sides(manifest["owner"], manifest["split"]) if "photographer" in by else []
        found.append((_KINDS["owner"], owners))
    else:
        catalogued = _catalogued(connection, manifest)
        found += _leaks(catalogued, manifest, by)
        found.append(("photographs are not in the catalogue, or damaged there", _strangers(catalogued, manifest)))
        found.append(("photographs have other EXIF in the catalogue", _other_exif(dataset, catalogued)))
    missing, changed = _files(dataset, advance)
    found += [("photographs are not in the store", missing), ("photographs have other bytes", changed)]
    return [Violation(what, len(which), tuple(which[:_SHOWN])) for what, which in found if which]


def _on_two_sides(keys: pa.ChunkedArray, sides: pa.ChunkedArray) -> list[str]:
    pairs = pa.table({"key": keys, "side": sides}).filter(keys.is_valid())
    counted = pairs.group_by("key").aggregate([("side", "count_distinct")])
    several = counted.filter(pc.greater(counted["side_count_distinct"], 1))
    return sorted(map(str, several["key"].to_pylist()))


def _catalogued(connection: Connection, manifest: pa.Table) -> pa.Table:
    """Return what the catalogue says today of a data set's photographs."""
    wanted = pc.unique(manifest["sha256"])
    parts = [SCHEMA.empty_table()]
    for span in id_ranges(connection):
        found = photographs(connection, span)
        parts.append(found.filter(pc.is_in(found["sha256"], wanted)))
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def _strangers(catalogued: pa.Table, manifest: pa.Table) -> list[str]:
    known = pc.is_in(manifest["sha256"], value_set=catalogued["sha256"].combine_chunks())
    return sorted(pc.unique(manifest["sha256"].filter(pc.invert(known))).to_pylist())


def _leaks(catalogued: pa.Table, manifest: pa.Table, by: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield, by kind of key, a photograph of each key that stands on two sides: whatever group the manifest names."""
    place = pc.index_in(catalogued["sha256"], value_set=manifest["sha256"].combine_chunks())
    sides = manifest["split"].take(place)
    for kind, (rows, keys) in links(
        catalogued, [key for key in ("photographer", "camera", "duplicates") if key in by]
    ).items():
        leaking = _on_two_sides(pa.chunked_array([pa.array(keys)]), sides.take(pa.array(rows)))
        names = catalogued["owner" if kind == "owner" else "sha256"]
        firsts = (int(rows[np.flatnonzero(keys == int(key))[0]]) for key in leaking)
        yield _KINDS[kind], sorted(str(names[row].as_py()) for row in firsts)


def _files(dataset: Dataset, advance: Callable[[int], object]) -> tuple[list[str], list[str]]:
    missing, changed = [], []
    for path in pc.unique(dataset.manifest["path"]).to_pylist():
        file = dataset.store / path
        if not file.is_file():
            missing.append(file.name)
        elif sha256_of(file) != file.name:
            changed.append(file.name)
        advance(1)
    return missing, changed


def _other_exif(dataset: Dataset, catalogued: pa.Table) -> list[str]:
    frozen = pq.read_schema(dataset.folder / MANIFEST_FILE).names  # older manifests hold fewer columns
    place = pc.index_in(catalogued["sha256"], value_set=dataset.manifest["sha256"].combine_chunks())
    before = dataset.manifest.take(place)
    other = np.zeros(catalogued.num_rows, dtype=bool)
    for name in EXIF_COLUMNS:
        if name in frozen:
            was, now = before[name], catalogued[name].cast(before[name].type)
            same = pc.fill_null(pc.equal(was, now), fill_value=False)
            other |= ~pc.or_(same, pc.and_(was.is_null(), now.is_null())).to_numpy()
    return sorted(catalogued["sha256"].filter(pa.array(other)).to_pylist())
