"""Dealing gathered photographs out to train, validation and test, without leaks and with every class on each side."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.balance import undersample
from lightmeter.labels.datasets.classes import Members, RareClass, common, label_columns, listed, members, names_in
from lightmeter.labels.datasets.collect import LabelledPhotos
from lightmeter.labels.datasets.crops import Crop
from lightmeter.labels.datasets.dataset import CROP_COLUMNS, MANIFEST_COLUMNS, SPLITS
from lightmeter.labels.datasets.groups import GROUP_KEYS, GroupKey, connect, links, nameless
from lightmeter.labels.datasets.stratify import Counts, count, stratified_group_split
from lightmeter.labels.targets.base import Target
from lightmeter.plugins import unknown_name_message

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class SplitOptions:
    """How photographs are dealt out.

    Attributes:
        seed: another seed gives another split.
        ratios: shares of train, validation and test.
        group: what holds photographs together.
        least: a class with fewer photographs is left out; None for what each target's definition says.
        where: a query that chooses photographs; empty for all.
        folds: for cross-validation, of how many folds; 0 for a single split by ratios.
        fold: which fold is the test side, counted from 1; the next one is the validation side.
        holdout_source: what was seen at this source is the test side, with all that belongs to it.
        balance: leave photographs out until each side has as many of every class as of its rarest.
        crop: the parts that are meant instead of whole photographs.
    """

    seed: int = 0
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    group: tuple[GroupKey, ...] = GROUP_KEYS
    least: int | None = None
    where: str = ""
    folds: int = 0
    fold: int = 0
    holdout_source: str = ""
    balance: bool = False
    crop: Crop | None = None

    def least_of(self, target: Target[Any]) -> int:
        """Return how many photographs a class of a target must have."""
        least: int = self.least or target.definition.min_per_class
        return least


@dataclass
class SplitResult:
    """Photographs with their groups and sides.

    Attributes:
        manifest: in the order of the photographs' hashes.
        classes: of each target, those that stand in the manifest.
        image_ids: in the catalogue.
        groups: how many there are.
        nameless: photographs of which neither photographer nor camera body is known, as far as those count as keys.
        rare: the classes that were left out.
        thinned: photographs that were left out to balance the classes.
    """

    manifest: pa.Table
    classes: dict[str, tuple[str, ...]]
    image_ids: Numbers
    groups: int
    nameless: int
    rare: list[RareClass] = field(default_factory=list)
    thinned: int = 0


def split(gathered: LabelledPhotos, choices: SplitOptions) -> SplitResult:
    """Deal photographs out.

    Args:
        gathered: photographs with their labels.
        choices: how.

    Raises:
        UsageError: if there are too few photographs, groups or classes; the sentence says which.
    """
    _need_photographs(gathered, choices)
    keys = links(gathered.table, choices.group)
    group_of = connect(len(gathered), keys)
    _need_groups(group_of, choices.folds)
    classes, rare = _common_classes(gathered, group_of, choices)
    labelled = np.zeros(len(gathered), dtype=bool)
    for target in gathered.targets:
        labelled[members(gathered.table, target, classes[target.name]).rows] = True
    table = _only(gathered.table, labelled)
    first, group_of = np.unique(group_of[labelled], return_index=True, return_inverse=True)[1:]
    _need_groups(group_of, choices.folds)
    # The smallest hash in a group names it, and the rows are in the order of the hashes: row numbers play no part.
    names = pc.utf8_slice_codeunits(table["sha256"].take(pa.array(first)), 0, 16).to_pylist()
    side_of = np.asarray(_sides(table, gathered.targets, classes, group_of, names, choices))[group_of]
    kept = _undersample(table, gathered.targets, classes, group_of, side_of, choices)
    manifest = _manifest(table, gathered.targets, classes, pa.array(names).take(pa.array(group_of)), side_of)
    return SplitResult(
        _only(manifest, kept),
        classes,
        table["image_id"].to_numpy()[kept],
        len(np.unique(group_of[kept])),
        int(nameless(len(gathered), keys)[labelled][kept].sum()),
        rare,
        int((~kept).sum()),
    )


def _only(table: pa.Table, rows: NDArray[np.bool_]) -> pa.Table:
    """Return some rows of a table; the table itself where all are meant, since a copy is large."""
    return table if rows.all() else table.filter(pa.array(rows))


def _need_photographs(gathered: LabelledPhotos, choices: SplitOptions) -> None:
    names = " ".join(target.name for target in gathered.targets)
    if len(gathered):
        return
    if choices.crop and gathered.without_crop:
        raise UsageError(
            f"Of the {gathered.without_crop} photographs with a label none has a {choices.crop.kind} to crop to."
        )
    if choices.where:
        raise UsageError(f"No photograph that the query chooses has a label of {names}; see 'lightmeter labels stats'.")
    raise UsageError(f"No photograph has a label of {names}; run 'lightmeter labels apply {names}' first.")


def _sides(
    table: pa.Table,
    targets: Sequence[Target[Any]],
    classes: dict[str, tuple[str, ...]],
    group_of: Numbers,
    names: list[str],
    choices: SplitOptions,
) -> list[int]:
    """Return the side of each group."""
    counts = _counts(table, targets, classes, group_of)
    if choices.folds:
        dealt = stratified_group_split(counts, [1 / choices.folds] * choices.folds, names, choices.seed)
        test, validation = choices.fold - 1, choices.fold % choices.folds
        return [2 if fold == test else 1 if fold == validation else 0 for fold in dealt]
    if not choices.holdout_source:
        return stratified_group_split(counts, choices.ratios, names, choices.seed)
    held_out = {*group_of[_of_source(table, choices.holdout_source)].tolist()}
    rest = [group for group in range(len(names)) if group not in held_out]
    if len(rest) < len(SPLITS) - 1:
        raise UsageError(f"Beside the source '{choices.holdout_source}' there are too few groups to train on.")
    both = choices.ratios[:2]
    shares = [share / sum(both) for share in both]
    of_rest = stratified_group_split(counts.of(rest), shares, [names[group] for group in rest], choices.seed)
    sides = [2] * len(names)
    for group, side in zip(rest, of_rest, strict=True):
        sides[group] = side
    return sides


def _counts(
    table: pa.Table, targets: Sequence[Target[Any]], classes: dict[str, tuple[str, ...]], group_of: Numbers
) -> Counts:
    """Count photographs by group and class, the classes of all targets numbered through."""
    rows: list[Numbers] = []
    numbers: list[Numbers] = []
    total = 0
    for target in targets:
        found = members(table, target, classes[target.name])
        rows.append(found.rows)
        numbers.append(found.numbers + total)
        total += len(classes[target.name])
    return count(group_of, np.concatenate(rows), np.concatenate(numbers), total)


def _of_source(table: pa.Table, source: str) -> NDArray[np.bool_]:
    """Return which photographs were seen at a source, first or later.

    Raises:
        UsageError: if none was.
    """
    first, further = table["source"].combine_chunks(), table["elsewhere"].combine_chunks()
    known = {*first.dictionary.to_pylist(), *pc.unique(pc.list_flatten(further)).to_pylist()}
    if source not in known:
        raise UsageError(unknown_name_message("source in these photographs", source, sorted(known)))
    held_out = np.zeros(table.num_rows, dtype=bool)
    held_out[pc.indices_nonzero(pc.equal(first.dictionary_decode(), source)).to_numpy()] = True
    later = pc.indices_nonzero(pc.equal(pc.list_flatten(further), source))
    held_out[pc.list_parent_indices(further).take(later).to_numpy()] = True
    return held_out


def _undersample(
    table: pa.Table,
    targets: Sequence[Target[Any]],
    classes: dict[str, tuple[str, ...]],
    group_of: Numbers,
    side_of: Numbers,
    choices: SplitOptions,
) -> NDArray[np.bool_]:
    """Return which photographs stay when classes are balanced; all where they are not."""
    if not choices.balance:
        return np.ones(table.num_rows, dtype=bool)
    (target,) = targets
    found: Members = members(table, target, classes[target.name])
    return undersample(side_of, found.numbers, group_of, table["sha256"].to_pylist(), choices.seed)


def _need_groups(group_of: Numbers, folds: int) -> None:
    groups, needed = len(np.unique(group_of)), max(len(SPLITS), folds)
    if groups < needed:
        raise UsageError(
            f"The {len(group_of)} photographs form {groups} group{'s' * (groups != 1)} that must stay together (same "
            f"photographer, camera body or near-identical pictures); this split needs at least {needed}. Harvest from "
            "more photographers, or choose other keys with --group."
        )


def _common_classes(
    gathered: LabelledPhotos, group_of: Numbers, choices: SplitOptions
) -> tuple[dict[str, tuple[str, ...]], list[RareClass]]:
    """Return the classes that can stand on every side, in their order, and those that cannot.

    Raises:
        UsageError: if a target has less than two that can.
    """
    classes: dict[str, tuple[str, ...]] = {}
    left_out: list[RareClass] = []
    for target in gathered.targets:
        names, least = names_in(gathered.table, target), choices.least_of(target)
        found, rare = common(target, names, members(gathered.table, target, names), group_of, least)
        if len(found) < 2:
            raise UsageError(_too_few_classes(target.name, found, rare, least))
        classes[target.name] = found
        left_out += rare
    return classes, left_out


def _too_few_classes(target: str, common: Sequence[str], rare: Sequence[RareClass], least: int) -> str:
    others = f"; too few photographs or groups: {listed(rare)}" if rare else ""
    return (
        f"Target '{target}' leaves {f'only the class {common[0]}' if common else 'no class'} to learn, and a data set "
        f"needs two with at least {least} photographs in 3 groups each{others}. Harvest more, or lower --least."
    )


def _manifest(
    table: pa.Table,
    targets: Sequence[Target[Any]],
    classes: dict[str, tuple[str, ...]],
    groups: pa.Array,
    side_of: Numbers,
) -> pa.Table:
    columns: dict[str, Any] = {
        name: table[name] for name in (*MANIFEST_COLUMNS.names, *CROP_COLUMNS) if name in table.column_names
    }
    columns["path"] = pc.binary_join_element_wise(pc.utf8_slice_codeunits(table["sha256"], 0, 2), table["sha256"], "/")
    columns["split"] = pa.array(SPLITS).take(pa.array(side_of))
    columns["group"] = groups
    arrays = [columns[kind.name].cast(kind.type) for kind in MANIFEST_COLUMNS]
    manifest = pa.table(arrays, schema=MANIFEST_COLUMNS)
    for target in targets:
        for name, values in label_columns(table, target, classes[target.name]).items():
            manifest = manifest.append_column(name, values)
    return manifest
