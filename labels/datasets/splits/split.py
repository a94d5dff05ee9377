"""Leakage-safe train, validation and test splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.collect import LabelledPhotos
from lightmeter.labels.datasets.components import Integers, codes
from lightmeter.labels.datasets.crops import Crop
from lightmeter.labels.datasets.manifest import MANIFEST_SCHEMA, SPLITS, label_column, stops_column
from lightmeter.labels.datasets.splits.classes import RareClass, class_rows, drop_other_classes, frequent_classes
from lightmeter.labels.datasets.splits.extend import Base
from lightmeter.labels.datasets.splits.groups import GROUP_KEYS, GroupKey, add_groups
from lightmeter.labels.datasets.splits.stratify import count_classes, hash_order, stratified_group_split
from lightmeter.labels.targets.base import SEPARATOR, Target
from lightmeter.plugins import unknown_name_message
from lightmeter.text.numbers import counted

Targets = Sequence[Target[Any]]


@dataclass(frozen=True)
class SplitOptions:
    """Options of `split`.

    Attributes:
        seed: Random seed.
        ratios: Shares of train, validation and test; their sum is 1.
        group_by: Keys that keep photographs in one split.
        min_per_class: Classes with fewer photographs are excluded (default: the target's own minimum).
        where: Query that selected the photographs; empty for all.
        folds: Number of cross-validation folds; 0 for a single split by ratios.
        fold: Fold that is the test split, from 1; the next one is the validation split.
        holdout_source: The test split is this source, with all groups that have a photograph of it.
        undersample: Exclude photographs until all classes have equal counts within each split.
        crop: Kind of crop, None for whole photographs.
    """

    seed: int = 0
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    group_by: tuple[GroupKey, ...] = GROUP_KEYS
    min_per_class: int | None = None
    where: str = ""
    folds: int = 0
    fold: int = 0
    holdout_source: str = ""
    undersample: bool = False
    crop: Crop | None = None

    def min_photographs(self, target: Target[Any]) -> int:
        """Return the minimum number of photographs of a target's classes."""
        return int(self.min_per_class or target.definition.min_per_class)


@dataclass(frozen=True)
class SplitResult:
    """Photographs with their groups and splits.

    Attributes:
        manifest: The manifest as it is kept in memory; see `lightmeter.labels.datasets.manifest.to_file_types`.
        classes: Classes of each target, in order.
        image_ids: Image id of each row, shape (n_rows,).
        groups: Number of groups.
        ungrouped: Number of photographs without photographer and camera body.
        rare_classes: Excluded classes.
        undersampled: Number of photographs excluded by undersampling.
    """

    manifest: pa.Table
    classes: dict[str, tuple[str, ...]]
    image_ids: Integers
    groups: int
    ungrouped: int
    rare_classes: list[RareClass]
    undersampled: int


def split(photographs: LabelledPhotos, options: SplitOptions, base: Base | None = None) -> SplitResult:
    """Assign photographs to train, validation and test without leakage.

    Photographs of one photographer, one camera body or one set of near-duplicates form a group, and a group is never
    divided between splits.

    Args:
        photographs: Photographs with at least one label; see `lightmeter.labels.datasets.collect.collect`.
        options: Ratios or folds, group keys, seed.
        base: Data set that is extended: its photographs and groups keep their splits, and its classes stay.

    Returns:
        The manifest with the columns ``group`` and ``split``, and what was excluded and why.

    Raises:
        UsageError: There are too few photographs, groups or classes.

    Example:
        >>> photographs = collect(connection, [get_target("shutter")])  # doctest: +SKIP
        >>> result = split(photographs, SplitOptions(seed=1))
        >>> sorted(result.manifest["split"].unique().to_pylist())
        ['test', 'train', 'validation']
    """
    _require_photographs(photographs, options)
    targets = photographs.targets
    table = add_groups(photographs.table, options.group_by)
    _require_groups(table, options)
    min_photographs = {target.name: options.min_photographs(target) for target in targets}
    kept = {target.name: base.classes(target.name) for target in targets} if base else {}
    classes, rare_classes = frequent_classes(table, targets, min_photographs, kept)
    fixed = base.fixed_splits(table) if base else {}
    table = drop_other_classes(table, targets, classes)
    _require_groups(table, options)
    table = add_splits(table, targets, options, fixed)
    labelled = table.num_rows
    if options.undersample:
        table = undersample(table, targets[0], options.seed)
    return SplitResult(
        to_manifest(table, targets),
        classes,
        table["image_id"].to_numpy(),
        groups=len(pc.unique(table["group"])),
        ungrouped=pc.sum(pc.invert(table["identified"])).as_py(),
        rare_classes=rare_classes,
        undersampled=labelled - table.num_rows,
    )


def add_splits(
    table: pa.Table, targets: Targets, options: SplitOptions, fixed: Mapping[str, int] | None = None
) -> pa.Table:
    """Add the column ``split``; a group is in one split.

    Args:
        table: Photographs with labels and the column ``group``.
        targets: Targets of the labels; the split is stratified by the classes of all of them.
        options: Ratios, folds or held-out source, and the seed.
        fixed: Split index of groups that have one already, -1 for others.
    """
    groups = table["group"].cast(pa.string()).combine_chunks().dictionary_encode()  # of these photographs alone
    counts = _count_by_group(table, targets, groups.dictionary)
    names = groups.dictionary.to_pylist()
    fixed_splits = np.asarray([(fixed or {}).get(name, -1) for name in names], dtype=np.int64)
    splits = _split_groups(counts, names, table, options, fixed_splits)
    return table.append_column("split", pa.array(SPLITS).take(pa.array(splits)).take(groups.indices))


def _count_by_group(table: pa.Table, targets: Targets, groups: pa.Array) -> csr_array:
    """Count labels by group and by class of any target, shape (n_groups, n_classes)."""
    group_codes, class_codes, n_classes = [], [], 0
    for target in targets:
        rows = class_rows(table.select(["group", label_column(target.name)]), target)
        group_codes.append(pc.index_in(rows["group"], groups).to_numpy())
        class_codes.append(codes(rows["class"]) + n_classes)
        n_classes = int(class_codes[-1].max()) + 1
    return count_classes(np.concatenate(group_codes), np.concatenate(class_codes), (len(groups), n_classes))


def _split_groups(
    counts: csr_array, names: list[str], table: pa.Table, options: SplitOptions, fixed: Integers
) -> Integers:
    """Return the index of each group's split."""
    if options.folds:
        folds = stratified_group_split(counts, [1 / options.folds] * options.folds, names, options.seed)
        return np.select([folds == options.fold - 1, folds == options.fold % options.folds], [2, 1], 0)
    if not options.holdout_source:
        return stratified_group_split(counts, options.ratios, names, options.seed, fixed)
    held_out = table["group"].filter(_mask_of_source(table, options.holdout_source)).to_pylist()
    is_test = np.isin(names, held_out) | (fixed == SPLITS.index("test"))
    if (fixed[is_test] == SPLITS.index("train")).any() or (fixed[is_test] == SPLITS.index("validation")).any():
        raise UsageError(
            f"New photographs of the source '{options.holdout_source}' would join groups of train or validation; "
            "create a new data set without --extend."
        )
    rest = np.flatnonzero(~is_test)
    if len(rest) < len(SPLITS) - 1:
        raise UsageError(f"Too few groups are left to train on without the source '{options.holdout_source}'.")
    ratios = np.asarray(options.ratios[:2]) / sum(options.ratios[:2])
    splits = np.full(len(names), 2, dtype=np.int64)
    names_of_rest = [names[row] for row in rest]
    splits[rest] = stratified_group_split(counts[rest], ratios.tolist(), names_of_rest, options.seed, fixed[rest])
    return splits


def _mask_of_source(table: pa.Table, source: str) -> pa.Array:
    """Return a mask of the photographs found at a source, shape (n_photographs,)."""
    lists = table["sources"].combine_chunks()
    sources = pc.list_flatten(lists)
    names = pc.unique(sources).to_pylist()
    if source not in names:
        raise UsageError(unknown_name_message("source in these photographs", source, sorted(names)))
    mask = np.zeros(len(lists), dtype=bool)
    mask[pc.list_parent_indices(lists).filter(pc.equal(sources, source)).to_numpy()] = True
    return pa.array(mask)


def undersample(table: pa.Table, target: Target[Any], seed: int) -> pa.Table:
    """Drop photographs until all classes have equal counts within each split.

    The largest groups lose photographs first, so that every photographer is kept and none dominates.

    Args:
        table: Photographs with the columns ``split`` and ``group``.
        target: Target with one class per photograph.
        seed: Random seed; together with the SHA-256 it decides which photographs are dropped.
    """
    splits, groups, classes = (codes(table[name]) for name in ("split", "group", label_column(target.name)))
    order = np.argsort(np.argsort(hash_order(seed, table["sha256"].to_pylist()), kind="stable"))
    rank_in_group = _cumulative_count([splits, classes, groups], order)
    rank_in_class = _cumulative_count([splits, classes], rank_in_group * len(order) + order)
    counts = np.zeros((splits.max() + 1, classes.max() + 1))
    np.add.at(counts, (splits, classes), 1)
    smallest = np.where(counts > 0, counts, np.inf).min(axis=1)
    return table.filter(pa.array(rank_in_class < smallest[splits]))


def _cumulative_count(keys: Sequence[Integers], order: Integers) -> Integers:
    """Number the rows with equal keys from 0 in the given order, as `pandas.DataFrame.groupby` ``cumcount``."""
    rows = np.lexsort((order, *keys))
    is_first = np.r_[True, np.any([key[rows][1:] != key[rows][:-1] for key in keys], axis=0)]
    starts = np.flatnonzero(is_first)
    numbers = np.empty(len(rows), dtype=np.int64)
    numbers[rows] = np.arange(len(rows)) - starts[np.cumsum(is_first) - 1]
    return numbers


def to_manifest(table: pa.Table, targets: Targets) -> pa.Table:
    """Return the manifest of photographs with ``group``, ``split`` and labels; texts stay encoded."""
    names = [name for name in MANIFEST_SCHEMA.names if name != "path"]
    for name in (name for name in names if name not in table.column_names):  # crops
        table = table.append_column(name, pa.nulls(table.num_rows))
    manifest = table.select(names)
    for target in targets:
        labels = table[label_column(target.name)].cast(pa.string())
        if target.multilabel:
            manifest = manifest.append_column(label_column(target.name), pc.split_pattern(labels, SEPARATOR))
            continue
        manifest = manifest.append_column(label_column(target.name), labels)
        manifest = manifest.append_column(stops_column(target.name), table[stops_column(target.name)])
    return manifest


def _require_photographs(photographs: LabelledPhotos, options: SplitOptions) -> None:
    if len(photographs):
        return
    names = " ".join(target.name for target in photographs.targets)
    if options.crop and photographs.uncropped:
        raise UsageError(f"None of the {photographs.uncropped} labelled photographs has a {options.crop.kind} crop.")
    if options.where:
        raise UsageError(f"No photograph selected by --where has a label of {names}. See 'lightmeter labels stats'.")
    raise UsageError(f"No photograph has a label of {names}. Run 'lightmeter labels apply {names}' first.")


def _require_groups(table: pa.Table, options: SplitOptions) -> None:
    groups, needed = len(pc.unique(table["group"])), max(len(SPLITS), options.folds)
    if groups < needed:
        raise UsageError(
            f"There are {counted(table.num_rows, 'photograph')} in {counted(groups, 'group')} (same photographer, "
            f"camera body or near-duplicates), but the split needs at least {needed}. Harvest from more photographers "
            "or use other keys with --group."
        )
