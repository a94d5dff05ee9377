"""Extend a data set: photographs and groups keep their splits, and only new groups are assigned."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset, read_dataset
from lightmeter.labels.datasets.manifest import SPLITS, Split
from lightmeter.text.numbers import counted

_MAX_LISTED = 3


@dataclass(frozen=True)
class Base:
    """The data set that a new one extends.

    Attributes:
        dataset: The data set.
        splits: Split by SHA-256 of all its photographs and of those of the data sets that it extends itself: what was a
            test photograph once is never trained on.
    """

    dataset: Dataset
    splits: dict[str, Split]

    @property
    def photographs(self) -> set[str]:
        """SHA-256 of the photographs of the data set."""
        return {*self.dataset.manifest["sha256"].to_pylist()}

    @property
    def recorded(self) -> dict[str, str]:
        """Name and hash, as recorded in the new data set."""
        return {"name": self.dataset.spec.name, "manifest_sha256": self.dataset.spec.manifest_sha256}

    def classes(self, target: str) -> tuple[str, ...]:
        """Return the classes of a target."""
        return self.dataset.spec.target(target).classes

    def fixed_splits(self, photographs: pa.Table) -> dict[str, int]:
        """Return the index of the split of each group that has photographs of the data set.

        Args:
            photographs: Photographs with ``sha256`` and ``group``.

        Raises:
            UsageError: A group has photographs of several splits.
        """
        hashes = pa.array(self.splits, pa.string())
        extended = photographs.filter(pc.is_in(photographs["sha256"], hashes))
        splits = pa.array([SPLITS.index(self.splits[sha256]) for sha256 in extended["sha256"].to_pylist()], pa.int64())
        rows = pa.table({"group": extended["group"], "split": splits})
        counts = rows.group_by("group").aggregate([("split", "min"), ("split", "max")])
        divided = counts.filter(pc.not_equal(counts["split_min"], counts["split_max"]))["group"]
        if len(divided):
            raise UsageError(self._conflict(photographs.filter(pc.equal(photographs["group"], divided[0]))))
        return dict(zip(counts["group"].to_pylist(), counts["split_min"].to_pylist(), strict=True))

    def _conflict(self, group: pa.Table) -> str:
        hashes: list[str] = group["sha256"].to_pylist()
        new = [sha256[:12] for sha256 in hashes if sha256 not in self.splits]
        splits = [split for split in SPLITS if split in {self.splits.get(sha256) for sha256 in hashes}]
        shown = ", ".join(new[:_MAX_LISTED]) + (", …" if len(new) > _MAX_LISTED else "")
        name, where = self.dataset.spec.name, " and ".join(splits)
        if new:
            return (
                f"{counted(len(new), 'new photograph')} ({shown}) would join groups of {where} of {name} "
                "(same photographer, camera body or near-duplicates). Leave them out with --where, or create a new "
                "data set without --extend."
            )
        return f"Photographs of {where} of {name} are in one group by now; create a new data set without --extend."


def open_base(dataset: Dataset) -> Base:
    """Return a data set as the base of a new one.

    Raises:
        UsageError: Data sets of folds and undersampled ones cannot be extended.
    """
    options = dataset.spec.split
    for option, phrase in (("folds", "a fold of a cross-validation"), ("undersample", "undersampled")):
        if options.get(option):
            raise UsageError(f"The data set {dataset.spec.name} is {phrase}, which cannot be extended.")
    splits: dict[str, Split] = {}
    ancestor: Dataset | None = dataset
    visited: set[str] = set()
    while ancestor is not None and ancestor.spec.manifest_sha256 not in visited:
        visited.add(ancestor.spec.manifest_sha256)
        hashes, names = ancestor.manifest["sha256"].to_pylist(), ancestor.manifest["split"].to_pylist()
        splits = dict(zip(hashes, names, strict=True)) | splits
        ancestor = _ancestor(ancestor)
    return Base(dataset, splits)


def _ancestor(dataset: Dataset) -> Dataset | None:
    """Return the data set that another one extends, if it still lies beside it."""
    recorded: dict[str, Any] = dataset.spec.split.get("extends", {})
    try:
        ancestor = read_dataset(dataset.folder.resolve().parent / str(recorded.get("name", "")))
    except UsageError:
        return None
    return ancestor if ancestor.spec.manifest_sha256 == recorded.get("manifest_sha256") else None
