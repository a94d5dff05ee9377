"""The data set folder: what labels hands to models. Reading one needs neither catalogue nor SQL.

A folder holds ``dataset.toml`` (this module's `DatasetSpec`), ``manifest.parquet`` (one row a photograph or crop),
``README.md`` (the card), ``ATTRIBUTION.csv`` and ``plots/``. The manifest's columns are `MANIFEST_COLUMNS` and two for
each target: its class (`label_column`) and its number (`stops_column`); both are null where a photograph has no label.
Of a target with several labels a photograph (`TargetSpec.multilabel`) the first is a list of classes, in the target's
order, and there is no second.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, sha256_of, write_atomic
from lightmeter.geometry import Box

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

SPEC_FILE = "dataset.toml"
MANIFEST_FILE = "manifest.parquet"

MANIFEST_COLUMNS = pa.schema(
    [
        ("sha256", pa.string()),  # of the original bytes; the rows' order
        ("path", pa.string()),  # below DatasetSpec.store
        ("split", pa.string()),
        ("group", pa.string()),  # never on two sides; intervals are drawn over groups
        ("source", pa.string()),
        ("owner", pa.string()),
        ("licence", pa.string()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("file_size", pa.int64()),
        ("quantisation", pa.string()),
        ("make", pa.string()),
        ("model", pa.string()),
        ("f_number", pa.float64()),
        ("exposure_time_s", pa.float64()),
        ("iso", pa.float64()),
        ("focal_length_mm", pa.float64()),
        ("focal_length_35mm", pa.float64()),
        ("flash_fired", pa.bool_()),
        ("taken_at", pa.string()),  # ISO 8601, local time
        ("crop_x", pa.int32()),  # the part that is meant, in stored pixels; null for the whole photograph
        ("crop_y", pa.int32()),
        ("crop_width", pa.int32()),
        ("crop_height", pa.int32()),
    ]
)
CROP_COLUMNS = ("crop_x", "crop_y", "crop_width", "crop_height")


def label_column(target: str) -> str:
    """Return the manifest's column of a target's classes."""
    return f"label_{target}"


def stops_column(target: str) -> str:
    """Return the manifest's column of a target's numbers."""
    return f"stops_{target}"


def crop_of(row: Mapping[str, Any]) -> Box | None:
    """Return the crop of a manifest row in file pixels, or None for the whole photograph."""
    return None if row["crop_x"] is None else Box(*(row[name] for name in CROP_COLUMNS))


@dataclass(frozen=True)
class TargetSpec:
    """One target of a data set.

    Attributes:
        name: for example ``shutter``.
        version: of the rule that made the labels.
        classes: in order; for an ordinal target from few stops to many.
        stops: one number a class (its nominal value) for an ordinal target, else empty.
        unit: what the numbers count, for example ``log2 s``; empty if there are none.
        multilabel: whether a photograph can have several classes at once.
        determined_by: columns of EXIF that say the class outright: who is given one has nothing to learn.
    """

    name: str
    version: str
    classes: tuple[str, ...]
    stops: tuple[float, ...] = ()
    unit: str = ""
    multilabel: bool = False
    determined_by: tuple[str, ...] = field(default=(), compare=False)

    @property
    def ordinal(self) -> bool:
        """Whether the classes have an order and a number each."""
        return bool(self.stops)


@dataclass(frozen=True)
class DatasetSpec:
    """What ``dataset.toml`` says.

    Attributes:
        name: of the data set.
        manifest_sha256: of ``manifest.parquet``; the data set's identity.
        store: the folder that the manifest's paths count from, relative to the data set's folder or absolute.
        targets: at least one.
        split: seed, ratios, group keys and the query, as `labels split` was asked.
        counts: photographs by split.
    """

    name: str
    manifest_sha256: str
    store: str
    targets: tuple[TargetSpec, ...]
    split: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def target(self, name: str) -> TargetSpec:
        """Return a target by its name.

        Raises:
            UsageError: if the data set has no such target.
        """
        for target in self.targets:
            if target.name == name:
                return target
        have = ", ".join(target.name for target in self.targets)
        raise UsageError(f"The data set {self.name} has no target '{name}'; it has: {have}.")


@dataclass(frozen=True)
class Dataset:
    """A data set folder that was read and checked."""

    folder: Path
    spec: DatasetSpec
    manifest: pa.Table

    @property
    def store(self) -> Path:
        """The folder that the manifest's paths count from."""
        return (self.folder / self.spec.store).resolve()

    def rows(self, split: Split | None = None) -> list[dict[str, Any]]:
        """Return the manifest's rows, of one split or of all, in the manifest's order."""
        rows: list[dict[str, Any]] = self.manifest.to_pylist()
        return [row for row in rows if split is None or row["split"] == split]


def write_dataset(folder: Path, spec: DatasetSpec, manifest: pa.Table) -> DatasetSpec:
    """Write manifest and spec; the spec comes last, so a folder that has one is whole.

    Args:
        folder: of the data set; made if missing.
        spec: its ``manifest_sha256`` is filled in here.
        manifest: the same table always gives the same bytes.

    Returns:
        The spec as written.
    """
    with atomic_path(folder / MANIFEST_FILE) as temporary:
        pq.write_table(manifest, temporary, compression="zstd", store_schema=False)
    whole = DatasetSpec(**{**vars(spec), "manifest_sha256": sha256_of(folder / MANIFEST_FILE)})
    write_atomic(folder / SPEC_FILE, tomli_w.dumps(_plain(asdict(whole))))
    return whole


def read_dataset(folder: Path) -> Dataset:
    """Read a data set folder.

    Raises:
        UsageError: if it is none, is damaged, or its manifest is not the one that its spec names.
    """
    if not (folder / SPEC_FILE).is_file():
        raise UsageError(f"{folder} is no data set (it has no {SPEC_FILE}); make one with 'lightmeter labels split'.")
    try:
        values = tomllib.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        targets = tuple(_target(target) for target in values.pop("targets"))
        spec = DatasetSpec(**values, targets=targets)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder / SPEC_FILE} is damaged ({error}).") from error
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file() or sha256_of(manifest) != spec.manifest_sha256:
        raise UsageError(f"{manifest} is not the manifest that {SPEC_FILE} names; freeze the data set again.")
    return Dataset(folder, spec, _whole(pq.read_table(manifest)))


def _target(values: dict[str, Any]) -> TargetSpec:
    lists = {name: tuple(values.get(name, ())) for name in ("stops", "determined_by")}
    return TargetSpec(**{**values, **lists, "classes": tuple(values["classes"])})


def _whole(manifest: pa.Table) -> pa.Table:
    """Return a manifest with the columns that older ones lack, empty."""
    for column in MANIFEST_COLUMNS:
        if column.name not in manifest.column_names:
            manifest = manifest.append_column(column, pa.nulls(manifest.num_rows, column.type))
    return manifest


def _plain(value: Any) -> Any:
    """Return a value as TOML knows it: lists for tuples, no None."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
