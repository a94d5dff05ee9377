"""The data set folder, which labels hands to models. Reading one needs neither a catalogue nor SQL.

A folder holds ``dataset.toml`` (`DatasetSpec`), ``manifest.parquet`` (one row per photograph or crop), ``README.md``
(the card), ``ATTRIBUTION.csv`` and ``plots/``. The manifest has the columns of
`lightmeter.labels.datasets.manifest.MANIFEST_SCHEMA` and two per target: its class (`label_column`) and its number
in the target's unit (`stops_column`), both null for photographs without a label. Labels of a multilabel target are
lists of classes, in the target's order, and have no numbers.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tomli_w
from pydantic import AfterValidator, Field, FiniteFloat, StringConstraints, TypeAdapter, ValidationError

from lightmeter.cache_folder import cache_root
from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, open_regular, sha256_of, write_atomic
from lightmeter.labels.datasets.manifest import (
    CROP_COLUMNS,
    SPLITS,
    Split,
    crop_of,
    label_column,
    manifest_problem,
    read_manifest,
    stops_column,
)
from lightmeter.labels.targets.base import class_name_problem
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_optional_project
from lightmeter.settings import read_settings
from lightmeter.store.base import PhotographError, PhotoStore
from lightmeter.store.local import LocalStore
from lightmeter.store.urls import StoreUrl
from lightmeter.terminal import completion
from lightmeter.text.names import folder_name, name_key, name_problem

__all__ = ["CROP_COLUMNS", "SPLITS", "Split", "crop_of", "label_column", "stops_column"]

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

    from lightmeter.labels.datasets.torch_dataset import ImageDataset

SPEC_FILE = "dataset.toml"
MANIFEST_FILE = "manifest.parquet"

_MAX_SPEC_BYTES = 10_000_000
_MAX_CLASSES = 100_000
_SPLIT_TYPES: Mapping[str, type] = {
    "seed": int,
    "ratios": list,
    "group_by": list,
    "min_per_class": int,
    "where": str,
    "folds": int,
    "fold": int,
    "holdout_source": str,
    "undersample": bool,
    "undersampled": int,
    "crop": str,
    "groups": int,
    "excluded_classes": list,
    "extends": dict,
    "like": dict,
    "lightmeter": str,
}

SplitCounts = Mapping[Split, int]


def _check_name(name: str) -> str:
    """Return the name of a data set, which is the name of its folder."""
    problem = name_problem(name)
    if problem is None and name_key(folder_name(name)) != name_key(name):
        problem = "cannot be the name of a folder on every system"
    if problem is not None:
        raise ValueError(f"the name '{name}' {problem}")
    return name


def _check_store(url: str) -> str:
    return str(StoreUrl.parse(url)) if url else ""


def _check_class(name: str) -> str:
    problem = class_name_problem(name)
    if problem is not None:
        raise ValueError(f"the class name '{name}' {problem}")
    return name


def _check_split(split: dict[str, Any]) -> dict[str, Any]:
    for key, type_ in _SPLIT_TYPES.items():
        if key in split and type(split[key]) is not type_:
            raise ValueError(f"{key} must be {type_.__name__}")
    ratios = split.get("ratios", [])
    if not all(isinstance(ratio, float | int) and 0 < ratio < 1 for ratio in ratios):
        raise ValueError("ratios must be numbers between 0 and 1")
    return split


Name = Annotated[str, AfterValidator(_check_name)]
StoreName = Annotated[str, AfterValidator(_check_store)]
TargetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
ClassName = Annotated[str, AfterValidator(_check_class)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, StringConstraints(max_length=1000)]


@dataclass(frozen=True)
class TargetSpec:
    """One target of a data set.

    Attributes:
        name: Name, for example ``shutter``.
        version: Version of the definition that made the labels.
        classes: Classes in order; for an ordinal target in ascending order of `stops`.
        stops: Nominal number of each class for an ordinal target, otherwise empty.
        unit: Unit of the numbers, for example ``log2 s``; empty if there are none.
        multilabel: Whether a photograph can have several classes.
        determined_by: EXIF columns that reveal the class; shortcut baselines ignore them.
        summary: What the target is, in one line.
        definition: Other values of the definition file: bounds of the classes, scanners, minimum per class.
    """

    name: TargetName
    version: str
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1, max_length=_MAX_CLASSES)]
    stops: tuple[FiniteFloat, ...] = ()
    unit: str = ""
    multilabel: bool = False
    determined_by: tuple[str, ...] = field(default=(), compare=False)
    summary: str = field(default="", compare=False)
    definition: dict[str, Any] = field(default_factory=dict)

    @property
    def ordinal(self) -> bool:
        """Whether the classes have an order and a number each."""
        return bool(self.stops)


@dataclass(frozen=True)
class Publication:
    """What a data set says about itself when it is published.

    Attributes:
        created_on: Date of the newest label, so that equal labels give equal files, as ``YYYY-MM-DD``.
        authors: Authors as in the setting ``project.authors``.
        licence: SPDX identifier of the licence of the compilation; empty if it has none of its own.
        url: Web page; empty if there is none.
    """

    created_on: Annotated[str, StringConstraints(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    authors: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    licence: Text = ""
    url: Text = ""


@dataclass(frozen=True)
class DatasetSpec:
    """Content of ``dataset.toml``.

    Attributes:
        name: Name of the data set.
        manifest_sha256: SHA-256 of ``manifest.parquet``; it identifies the data set.
        store: URL of the photo store; that of a folder is absolute or relative to the data set folder. Paths in the
            manifest are relative to the store.
        targets: At least one target.
        split: Options and results of the split.
        counts: Number of manifest rows by split.
        publication: Authors, licence and date.
    """

    name: Name
    manifest_sha256: str
    store: StoreName
    targets: Annotated[tuple[TargetSpec, ...], Field(min_length=1, max_length=100)]
    split: Annotated[dict[str, Any], AfterValidator(_check_split)] = field(default_factory=dict)
    counts: dict[Split, Count] = field(default_factory=dict)
    publication: Publication = Publication()

    def target(self, name: str) -> TargetSpec:
        """Return a target by name.

        Raises:
            UsageError: The data set has no such target.
        """
        for target in self.targets:
            if target.name == name:
                return target
        raise UsageError(unknown_name_message(f"target of {self.name}", name, [target.name for target in self.targets]))


_SPEC = TypeAdapter(DatasetSpec)


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        folder: Data set folder.
        spec: Content of ``dataset.toml``.
        manifest: Content of ``manifest.parquet``.
    """

    folder: Path
    spec: DatasetSpec
    manifest: pa.Table

    @cached_property
    def store(self) -> PhotoStore:
        """Store of the original image files; paths in the manifest are relative to it.

        If it was a folder that has moved, it is the store of the project.

        Raises:
            UsageError: The data set names no store, because it is a pack.
        """
        if not self.spec.store:
            raise UsageError(f"The data set {self.folder} names no photo store; it is a pack, which holds its images.")
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
        path_or_name: Data set folder, or the name of one in the project's ``datasets`` folder.

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
        manifest: Manifest; equal tables give equal bytes.

    Returns:
        The spec as written.
    """
    with atomic_path(folder / MANIFEST_FILE) as temporary:
        pq.write_table(manifest, temporary, compression="zstd", store_schema=False)
    spec = replace(spec, manifest_sha256=sha256_of(folder / MANIFEST_FILE))
    write_spec(folder, spec)
    return spec


def write_spec(folder: Path, spec: DatasetSpec) -> None:
    """Write the spec of a data set into a folder."""
    write_atomic(folder / SPEC_FILE, tomli_w.dumps(_SPEC.dump_python(spec, mode="json", exclude_none=True)))


def read_dataset(folder: Path) -> Dataset:
    """Read a data set folder, which somebody else may have made.

    Everything in it is checked here: names, classes, hashes, formats and paths. What uses a `Dataset` relies on that.

    Raises:
        UsageError: The folder is not a data set, is damaged, or its manifest does not match the spec.
    """
    file, manifest_file = folder / SPEC_FILE, folder / MANIFEST_FILE
    if not file.is_file():
        raise UsageError(f"{folder} is not a data set: {SPEC_FILE} is missing. Run 'lightmeter labels split' first.")
    spec = read_spec(file)
    if not manifest_file.is_file() or sha256_of(manifest_file) != spec.manifest_sha256:
        raise UsageError(f"{manifest_file} does not match the SHA-256 in {SPEC_FILE}. Create the data set again.")
    manifest = read_manifest(manifest_file)
    problem = manifest_problem(manifest, spec.targets)
    if problem is not None:
        raise UsageError(f"{manifest_file} is not a manifest: {problem}.")
    return Dataset(folder, spec, manifest)


def read_spec(file: Path) -> DatasetSpec:
    """Read ``dataset.toml`` without the manifest.

    Raises:
        UsageError: The file is damaged.
    """
    try:
        with open_regular(file) as data:
            text = data.read(_MAX_SPEC_BYTES).decode()
        spec = _SPEC.validate_python(tomllib.loads(text))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise UsageError(f"{file} is damaged: {key}: {problem['msg'].removeprefix('Value error, ')}.") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is damaged: {error}.") from error
    if len({target.name for target in spec.targets}) < len(spec.targets):
        raise UsageError(f"{file} is damaged: two targets have the same name.")
    for target in spec.targets:
        keys = {name_key(name) for name in target.classes}
        if len(keys) < len(target.classes) or len(target.stops) not in (0, len(target.classes)):
            raise UsageError(f"{file} is damaged: target {target.name} has equal classes, or not one stop for each.")
    return spec
