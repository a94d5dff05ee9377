"""The data set folder, which labels hands to models. Reading one needs neither a catalogue nor SQL.

A folder holds ``dataset.toml`` (`lightmeter.labels.datasets.spec.DatasetSpec`), ``manifest.parquet`` (one row per
photograph or crop), ``README.md`` (the card), ``ATTRIBUTION.csv`` and ``plots/``. The manifest has the columns of
`lightmeter.labels.datasets.manifest.MANIFEST_SCHEMA` and two per target: its class (`label_column`) and its number
in the target's unit (`stops_column`), both null for photographs without a label. Labels of a multilabel target are
lists of classes, in the target's order, and have no numbers.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightmeter.cache_folder import cache_root
from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, check_own_files, sha256_of
from lightmeter.labels.datasets.manifest import (
    SPLITS,
    Split,
    label_column,
    manifest_problem,
    read_table,
    to_file_types,
)
from lightmeter.labels.datasets.pack import PackStore
from lightmeter.labels.datasets.spec import SPEC_FILE, DatasetSpec, TargetSpec, read_spec, write_spec
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_optional_project
from lightmeter.settings import read_settings
from lightmeter.store.base import PhotographError, PhotoStore
from lightmeter.store.local import LocalStore
from lightmeter.store.urls import StoreUrl
from lightmeter.terminal import completion

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

    from lightmeter.labels.datasets.torch_dataset import ImageDataset

MANIFEST_FILE = "manifest.parquet"

_ROW_GROUP = 1 << 20  # rows


SplitCounts = Mapping[Split, int]


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        folder: Data set folder.
        spec: Content of ``dataset.toml``.
        manifest: Content of ``manifest.parquet``; that of a new data set is more compact, see `to_file_types`.
    """

    folder: Path
    spec: DatasetSpec
    manifest: pa.Table

    @cached_property
    def store(self) -> PhotoStore:
        """Store of the original image files; paths in the manifest are relative to it.

        If it was a folder that has moved, it is the store of the project. That of a pack is the pack.
        """
        if not self.spec.store:
            return PackStore(self.folder)
        project, url = find_optional_project(), StoreUrl.parse(self.spec.store)
        if url.scheme != "file":
            cache_mb = (project.settings if project else read_settings(None)).store.cache_mb
            return url.open(self.folder, cache_root() / "photographs", cache_mb)
        store = LocalStore((self.folder / url.root).resolve())
        return project.store if project and not store.root.is_dir() else store

    def read(self, sha256: str) -> bytes:
        """Return the original bytes of a photograph.

        Args:
            sha256: SHA-256 of the photograph, as in the manifest.

        Raises:
            UsageError: The photograph is missing in the store, or its bytes have changed.
            StoreError: The store cannot be read.
        """
        return read_photograph(self.store, sha256)

    def rows(self, split: Split | None = None) -> list[dict[str, Any]]:
        """Return manifest rows as dictionaries.

        Args:
            split: Return the rows of this split (default: all).
        """
        rows: list[dict[str, Any]] = self._table(split).to_pylist()
        return rows

    def to_pandas(self, split: Split | None = None) -> "DataFrame":
        """Return manifest rows as a pandas data frame; needs the extra ``lightmeter[pandas]``.

        Args:
            split: Return the rows of this split (default: all).
        """
        frame: DataFrame = self._table(split).to_pandas()
        return frame

    def torch_dataset(
        self, split: Split, transform: "Callable[[Image], Any] | None" = None, target: str | None = None
    ) -> "ImageDataset":
        """Return a PyTorch data set of (image, label) pairs for `torch.utils.data.DataLoader`.

        Photographs without a label of any of the targets are skipped.

        Args:
            split: Train, validation or test.
            transform: Applied to each image, an upright RGB `PIL.Image.Image`, for example a torchvision transform.
            target: Target of the labels (default: all targets; labels are then dictionaries if there are several).

        Returns:
            See `lightmeter.labels.datasets.torch_dataset.ImageDataset`.

        Raises:
            UsageError: The data set has no such target.

        Example:
            >>> train = open_dataset("iso-demo").torch_dataset("train")  # made by 'lightmeter demo'
            >>> image, label = train[0]
            >>> image.mode, train.targets[0].classes[label] == train.rows[0]["label_iso"]
            ('RGB', True)
        """
        from lightmeter.labels.datasets.torch_dataset import ImageDataset

        targets = self.spec.targets if target is None else (self.spec.target(target),)
        columns = [label_column(item.name) for item in targets]
        rows = [row for row in self.rows(split) if any(row[column] is not None for column in columns)]
        return ImageDataset(self.store, rows, targets, transform)

    def _table(self, split: Split | None) -> pa.Table:
        return self.manifest if split is None else self.manifest.filter(pc.equal(self.manifest["split"], split))


def read_photograph(store: PhotoStore, sha256: str) -> bytes:
    """Return the original bytes of a photograph of a data set.

    Raises:
        UsageError: The photograph is missing in the store, or its bytes have changed.
        StoreError: The store cannot be read.
    """
    try:
        return store.read(sha256)
    except PhotographError as error:
        hint = " Check that the store has not moved since the data set was frozen."
        raise UsageError(f"{error}{hint if error.fault == 'missing' else ''}") from error


def open_dataset(path_or_name: Path | str) -> Dataset:
    """Open a data set by its folder or, within a project, by its name.

    Args:
        path_or_name: Folder of a data set or of a WebDataset pack, or the name of a data set in the project's
            ``datasets`` folder.

    Raises:
        UsageError: The folder is not a data set or is damaged.

    Example:
        >>> dataset = open_dataset("iso-demo")  # made by 'lightmeter demo'
        >>> list(dataset.spec.counts)
        ['train', 'validation', 'test']
        >>> dataset.rows("train")[0]["label_iso"] in dataset.spec.target("iso").classes
        True
        >>> sorted(dataset.to_pandas()["split"].unique())
        ['test', 'train', 'validation']
    """
    folder, project = Path(path_or_name), find_optional_project()
    if project and not folder.exists() and (project.datasets / folder).exists():
        folder = project.datasets / folder
    if project and not folder.exists() and not folder.is_absolute():
        raise UsageError(unknown_name_message("data set", str(folder), completion.datasets("")))
    return read_dataset(folder)


def is_foreign(path: Path) -> bool:
    """Return whether a path exists and is no data set folder: a pack, or a data set of another program."""
    spec = path / SPEC_FILE
    if not path.exists() or not spec.is_file():
        return path.exists()
    return not (path / MANIFEST_FILE).exists() and not read_spec(spec).store


def class_counts(manifest: pa.Table, target: TargetSpec) -> dict[str, SplitCounts]:
    """Count photographs by class and split; one with several classes counts in each."""
    labels, splits = manifest[label_column(target.name)], manifest["split"]
    if target.multilabel:
        lists = labels.combine_chunks()
        labels, splits = pc.list_flatten(lists), splits.take(pc.list_parent_indices(lists))
    counts = dict(count_by_split(labels, splits))
    return {name: counts.get(name, dict.fromkeys(SPLITS, 0)) for name in target.classes}


def count_by_split(values: pa.ChunkedArray, splits: pa.ChunkedArray) -> list[tuple[str | None, SplitCounts]]:
    """Return each value, None for null, with its counts by split."""
    rows = pa.table({"value": values, "split": splits}).group_by(["value", "split"]).aggregate([([], "count_all")])
    counts: dict[str | None, dict[Split, int]] = {}
    for row in rows.to_pylist():
        counts.setdefault(row["value"], dict.fromkeys(SPLITS, 0))[row["split"]] = row["count_all"]
    return list(counts.items())


def write_dataset(folder: Path, spec: DatasetSpec, manifest: pa.Table) -> DatasetSpec:
    """Write manifest and spec. The spec is written last, so a folder with a spec is complete.

    Args:
        folder: Data set folder; created if missing.
        spec: Spec; its ``manifest_sha256`` is replaced.
        manifest: Manifest; equal tables give equal bytes. It may be as `to_file_types` takes it.

    Returns:
        The spec as written.
    """
    with atomic_path(folder / MANIFEST_FILE) as temporary:
        _write_manifest(manifest, temporary)
    spec = replace(spec, manifest_sha256=sha256_of(folder / MANIFEST_FILE))
    write_spec(folder, spec)
    return spec


def reread(dataset: Dataset) -> Dataset:
    """Return a new data set with the manifest as others read it from its file."""
    return replace(dataset, manifest=read_table(dataset.folder / MANIFEST_FILE))


def _write_manifest(manifest: pa.Table, file: Path) -> None:
    """Write a manifest row group by row group, so that only one of them exists in the types of the file."""
    schema = to_file_types(manifest.slice(0, 0)).schema
    with pq.ParquetWriter(file, schema, compression="zstd", store_schema=False) as writer:
        for start in range(0, manifest.num_rows, _ROW_GROUP):
            writer.write_table(to_file_types(manifest.slice(start, _ROW_GROUP)))


def read_dataset(folder: Path) -> Dataset:
    """Read a data set folder, which somebody else may have made.

    Everything in it is checked here: names, classes, hashes, formats and paths. What uses a `Dataset` relies on that.

    Raises:
        UsageError: The folder is not a data set, is damaged, or its manifest does not match the spec.
    """
    file, manifest_file = folder / SPEC_FILE, folder / MANIFEST_FILE
    if not file.is_file():
        raise UsageError(f"{folder} is not a data set: {SPEC_FILE} is missing. Run 'lightmeter labels split' first.")
    check_own_files(folder)
    spec = read_spec(file)
    if is_foreign(folder):
        raise UsageError(
            f"{folder} is a pack for other programs; train on one in WebDataset format, or on its data set."
        )
    manifest = read_table(manifest_file, spec.manifest_sha256)
    problem = manifest_problem(manifest, spec.targets)
    if problem is not None:
        raise UsageError(f"{manifest_file} is not a manifest: {problem}.")
    counts = Counter(manifest["split"].to_pylist())
    if spec.counts and any(counts[split] != spec.counts.get(split, 0) for split in SPLITS):
        raise UsageError(f"{file} is damaged: its counts are not those of {MANIFEST_FILE}.")
    if not spec.store:
        PackStore(folder).check(manifest["sha256"].to_pylist())
    return Dataset(folder, spec, manifest)
