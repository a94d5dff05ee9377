"""Several data sets as one, if nothing leaks between their splits."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.components import Integers, codes, connect
from lightmeter.labels.datasets.dataset import Dataset, open_dataset
from lightmeter.labels.datasets.manifest import CROP_COLUMNS, MANIFEST_SCHEMA, SPLITS, label_column, stops_column
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.labels.datasets.splits.groups import group_keys
from lightmeter.store.base import PhotoStore
from lightmeter.store.chain import StoreChain

DatasetReference = Dataset | Path | str
"""A data set, its folder, or its name in the project."""

_KEY = ("sha256", *CROP_COLUMNS)


@dataclass(frozen=True)
class DatasetUnion(Dataset):
    """A data set in memory that holds the photographs of several.

    Attributes:
        parts: The data sets.
    """

    parts: tuple[Dataset, ...] = ()

    @cached_property
    def store(self) -> PhotoStore:
        """The photo stores of all parts."""
        stores = {store.url: store for store in (part.store for part in self.parts)}
        return next(iter(stores.values())) if len(stores) == 1 else StoreChain(list(stores.values()))


def open_datasets(items: DatasetReference | Sequence[DatasetReference]) -> Dataset:
    """Open a data set, or several as their union.

    Args:
        items: One or several data sets, their folders, or their names in the project.

    Raises:
        UsageError: One cannot be read, or they do not fit together; see `unite`.
    """
    references = [items] if isinstance(items, Dataset | Path | str) else items
    datasets = [item if isinstance(item, Dataset) else open_dataset(item) for item in references]
    return unite(datasets) if len(datasets) > 1 else datasets[0]


def unite(datasets: Sequence[Dataset]) -> DatasetUnion:
    """Return the union of data sets with the same targets.

    Photographs keep their splits. What connects photographs of several data sets, the same file, and photographers,
    camera bodies and near-duplicates if all data sets keep these together, makes them one group.

    Args:
        datasets: At least two data sets.

    Raises:
        UsageError: One is given twice, the targets differ, a photograph has different labels, or a photograph or
            something that connects photographs is in several splits.
    """
    first = datasets[0]
    hashes = [dataset.spec.manifest_sha256 for dataset in datasets]
    for index, dataset in enumerate(datasets):
        if hashes.index(dataset.spec.manifest_sha256) != index:
            raise UsageError(f"The data set {dataset.spec.name} is given twice.")
        _check_targets(first.spec, dataset.spec)
    tables = [
        _columns(dataset, first.spec.targets).append_column("part", pa.array([index] * dataset.manifest.num_rows))
        for index, dataset in enumerate(datasets)
    ]
    rows = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    names = [dataset.spec.name for dataset in datasets]
    group_by = [key for key in first.spec.split.get("group_by", ()) if all(_keeps(item, key) for item in datasets)]
    groups = _check_splits(rows, names, group_by)
    manifest = _distinct(rows, groups, names, first.spec.targets)
    spec = DatasetSpec(
        name=" + ".join(names),
        manifest_sha256=hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest(),
        store="",
        targets=first.spec.targets,
        split={"group_by": group_by},
        counts={split: pc.sum(pc.equal(manifest["split"], split)).as_py() or 0 for split in SPLITS},
    )
    return DatasetUnion(first.folder, spec, manifest, tuple(datasets))


def _keeps(dataset: Dataset, key: str) -> bool:
    return key in dataset.spec.split.get("group_by", ())


def _check_targets(first: DatasetSpec, other: DatasetSpec) -> None:
    ours, theirs = ({target.name: target for target in spec.targets} for spec in (first, other))
    for name in [*ours, *theirs]:
        if name not in ours or name not in theirs:
            having, lacking = (first, other) if name in ours else (other, first)
            raise UsageError(
                f"The data set {having.name} has the target '{name}', which {lacking.name} lacks; train on data sets "
                "with the same targets."
            )
        if ours[name] != theirs[name]:
            what = "classes" if ours[name].classes != theirs[name].classes else "definitions"
            raise UsageError(
                f"The {what} of '{name}' differ between {first.name} and {other.name}; create both data sets from the "
                "same definition."
            )


def _columns(dataset: Dataset, targets: Sequence[TargetSpec]) -> pa.Table:
    """Return the columns of a manifest that all data sets have, in one order."""
    names = [field.name for field in MANIFEST_SCHEMA]
    for target in targets:
        names += [label_column(target.name), stops_column(target.name)]
    return dataset.manifest.select([name for name in names if name in dataset.manifest.column_names])


def _check_splits(rows: pa.Table, names: Sequence[str], group_by: Sequence[str]) -> Integers:
    """Return the group of each row across data sets.

    Raises:
        UsageError: A photograph or something that connects photographs is in several splits.
    """
    index = np.arange(rows.num_rows)
    parts, groups = codes(rows["part"]), codes(rows["group"])
    owners = pa.array([[owner] if owner else [] for owner in rows["owner"].to_pylist()], pa.list_(pa.string()))
    keys = {
        "photograph": (index, codes(rows["sha256"])),
        **group_keys(rows.append_column("owners", owners), group_by),
        "group": (index, parts * (groups.max(initial=0) + 1) + groups),
    }
    connected = connect(rows.num_rows, keys)
    splits = codes(rows["split"])
    for kind, (indices, values) in [*keys.items(), ("group", (index, connected))]:
        for pair in _divided(indices, values, splits):
            raise UsageError(_conflict(kind, rows.take(pa.array(pair)).to_pylist(), names))
    return connected


def _divided(indices: Integers, keys: Integers, splits: Integers) -> Iterator[tuple[int, int]]:
    """Yield two rows of different splits for each key that is in several."""
    order = np.argsort(keys, kind="stable")
    first = np.unique(keys[order], return_index=True)
    reference = order[first[1]][np.searchsorted(first[0], keys)]
    for position in np.flatnonzero(splits[indices] != splits[indices[reference]]):
        yield int(indices[reference[position]]), int(indices[position])


def _conflict(kind: str, pair: Sequence[dict[str, object]], names: Sequence[str]) -> str:
    first, second = (f"{row['split']} of {names[int(str(row['part']))]}" for row in pair)
    identifiers = [str(row["sha256"])[:12] for row in pair]
    photographs = " and ".join(dict.fromkeys(identifiers))
    subject = {
        "photograph": f"The photograph {identifiers[0]} is",
        "owner": f"The photographer '{pair[0]['owner']}' is",
        "body": f"The camera body of the photographs {photographs} is",
        "camera": f"The {pair[0]['model']} of '{pair[0]['owner']}' is",
        "duplicates": f"The group of near-duplicates with {photographs} is",
        "group": f"The group of the photographs {photographs} is",
    }[kind]
    return (
        f"{subject} in {first} and in {second}, so that results on test would mislead. Create the second data set "
        "with 'lightmeter labels split --extend', which keeps photographs and groups in their splits."
    )


def _distinct(rows: pa.Table, groups: Integers, names: Sequence[str], targets: Sequence[TargetSpec]) -> pa.Table:
    """Return each photograph or crop once, in the order of the hashes, with its group across data sets.

    Raises:
        UsageError: A photograph has different labels.
    """
    keys = [tuple(row.values()) for row in rows.select(_KEY).to_pylist()]
    first_of: dict[tuple[object, ...], int] = {}
    repeated = [(first_of[key], index) for index, key in enumerate(keys) if first_of.setdefault(key, index) != index]
    for target in targets:
        labels = rows[label_column(target.name)].to_pylist()
        for before, after in repeated:
            if labels[before] != labels[after]:
                parts = [names[rows["part"][index].as_py()] for index in (before, after)]
                raise UsageError(
                    f"The label of '{target.name}' of the photograph {keys[before][0][:12]} differs between "
                    f"{parts[0]} ({labels[before] or 'none'}) and {parts[1]} ({labels[after] or 'none'}); create both "
                    "data sets from the same labels."
                )
    smallest: dict[int, str] = {}
    for key, group in zip(keys, groups.tolist(), strict=True):
        smallest[group] = min(smallest.get(group, key[0]), key[0])
    named = pa.array([smallest[group][:16] for group in groups.tolist()], pa.string())
    table = rows.set_column(rows.schema.get_field_index("group"), "group", named).drop_columns("part")
    kept = sorted(first_of.values(), key=lambda index: (keys[index][0], [part or 0 for part in keys[index][1:]]))
    return table.take(pa.array(kept))
