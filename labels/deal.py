"""Dealing gathered photographs out to train, validation and test, without leaks and with every class on each side."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from labels.assign import Counts, assign, class_counts
from labels.dataset import CROP_COLUMNS, MANIFEST_COLUMNS, SPLITS, label_column, stops_column
from labels.duplicates import near_duplicates
from labels.gather import Gathered
from labels.groups import GROUP_KEYS, GroupKey, connect, keys
from lightmeter.errors import UsageError
from lightmeter.plugins import unknown


@dataclass(frozen=True)
class Choices:
    """How photographs are dealt out.

    Attributes:
        seed: another seed gives another split.
        ratios: shares of train, validation and test.
        group: what holds photographs together.
        least: a class with fewer photographs is left out.
        where: a query that chooses photographs; empty for all.
        folds: for cross-validation, of how many folds; 0 for a single split by ratios.
        fold: which fold is the test side, counted from 1; the next one is the validation side.
        holdout_source: the photographs of this source are the test side, with all that belong to them.
    """

    seed: int = 0
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    group: tuple[GroupKey, ...] = GROUP_KEYS
    least: int = 5
    where: str = ""
    folds: int = 0
    fold: int = 0
    holdout_source: str = ""


@dataclass(frozen=True)
class RareClass:
    """A class that is in too few photographs or groups to stand on every side, and is left out."""

    target: str
    name: str
    photographs: int
    groups: int


@dataclass
class Dealt:
    """Photographs with their groups and sides.

    Attributes:
        manifest: in the order of the photographs' hashes.
        classes: of each target, those that stand in the manifest.
        image_ids: in the catalogue.
        groups: how many there are.
        keys: by kind of key, how many photographs have one.
        rare: the classes that were left out.
    """

    manifest: pa.Table
    classes: dict[str, tuple[str, ...]]
    image_ids: list[int]
    groups: int
    keys: Counter[str]
    rare: list[RareClass] = field(default_factory=list)


def deal(gathered: Gathered, choices: Choices) -> Dealt:
    """Deal photographs out.

    Args:
        gathered: photographs with their labels.
        choices: how.

    Raises:
        UsageError: if there are too few photographs, groups or classes; the sentence says which.
    """
    names = " ".join(target.name for target in gathered.targets)
    if not len(gathered) and choices.where:
        raise UsageError(f"No photograph that the query chooses has a label of {names}; see 'lightmeter labels stats'.")
    if not len(gathered):
        raise UsageError(f"No photograph has a label of {names}; run 'lightmeter labels apply {names}' first.")
    group_of, key_counts = _groups(gathered, choices.group)
    _need_groups(group_of, len(gathered), choices.folds)
    classes, rare = _common_classes(gathered, group_of, choices.least)
    numbered, total = _numbered(gathered, classes)
    kept = np.flatnonzero((numbered >= 0).any(axis=1))
    hashes = gathered.column("sha256")
    group_of, group_names = _named(hashes, group_of[kept], kept)
    _need_groups(group_of, len(kept), choices.folds)
    counts = class_counts(group_of, numbered[kept], total)
    held_out = {int(group_of[row]) for row in _held_out(gathered, choices, kept)}
    sides = _sides(counts, group_names, choices, held_out)
    order = np.argsort(np.asarray(hashes)[kept], kind="stable")
    in_order = group_of[order].tolist()
    names_in_order, sides_in_order = [group_names[g] for g in in_order], [sides[g] for g in in_order]
    manifest = _manifest(gathered, kept[order], names_in_order, sides_in_order, classes)
    image_ids = [gathered.image_ids[index] for index in kept]
    return Dealt(manifest, classes, image_ids, len(group_names), key_counts, rare)


def _sides(counts: Counts, names: list[str], choices: Choices, held_out: set[int]) -> list[str]:
    """Return the side of each group."""
    if choices.folds:
        dealt = assign(counts, [1 / choices.folds] * choices.folds, names, choices.seed)
        after = choices.fold % choices.folds
        to_side = {choices.fold - 1: "test", after: "validation"}
        return [to_side.get(fold, "train") for fold in dealt]
    if not choices.holdout_source:
        return [SPLITS[side] for side in assign(counts, choices.ratios, names, choices.seed)]
    rest = [group for group in range(len(names)) if group not in held_out]
    if len(rest) < len(SPLITS) - 1:
        raise UsageError(f"Beside the source '{choices.holdout_source}' there are too few groups to train on.")
    train, validation, _ = choices.ratios
    shares = (train / (train + validation), validation / (train + validation))
    dealt = assign(counts[rest], shares, [names[group] for group in rest], choices.seed)
    of_rest = {group: SPLITS[side] for group, side in zip(rest, dealt, strict=True)}
    return [of_rest.get(group, "test") for group in range(len(names))]


def _held_out(gathered: Gathered, choices: Choices, kept: NDArray[np.intp]) -> list[int]:
    """Return which of the kept photographs come from the source that is held out."""
    if not choices.holdout_source:
        return []
    sources = gathered.column("source")
    found = [row for row, index in enumerate(kept.tolist()) if sources[index] == choices.holdout_source]
    if not found:
        raise UsageError(unknown("source in these photographs", choices.holdout_source, sorted(set(sources))))
    return found


def _groups(gathered: Gathered, by: Sequence[GroupKey]) -> tuple[NDArray[np.int64], Counter[str]]:
    counts: Counter[str] = Counter()

    def keys_of() -> Iterator[list[str]]:
        for found in _keys(gathered, by):
            counts.update({key.split(" ", 1)[0] for key in found})
            yield found

    return np.asarray(connect(keys_of()), dtype=np.int64), counts


def _keys(gathered: Gathered, by: Sequence[GroupKey]) -> Iterator[list[str]]:
    alike = near_duplicates(gathered.phashes) if "duplicates" in by else {}
    cameras = zip(gathered.column("make"), gathered.column("model"), strict=True)
    for index, camera in enumerate(cameras):
        owners, body = gathered.owners[index], gathered.bodies[index]
        yield keys(by, owners=owners, body=body, camera=camera, duplicates=alike.get(index))


def _need_groups(group_of: NDArray[np.int64], photographs: int, folds: int) -> None:
    groups, needed = len(np.unique(group_of)), max(len(SPLITS), folds)
    if groups < needed:
        raise UsageError(
            f"The {photographs} photographs form {groups} group{'s' * (groups != 1)} that must stay together (same "
            f"photographer, camera body or near-identical pictures); this split needs at least {needed}. Harvest from "
            "more photographers, or choose other keys with --group."
        )


def _common_classes(
    gathered: Gathered, group_of: NDArray[np.int64], least: int
) -> tuple[dict[str, tuple[str, ...]], list[RareClass]]:
    """Return the classes that can stand on every side, in their order, and those that cannot."""
    common: dict[str, tuple[str, ...]] = {}
    rare: list[RareClass] = []
    for target in gathered.targets:
        members: dict[str, list[int]] = {}
        for index, value in enumerate(gathered.classes[target.name]):
            if value is not None:
                members.setdefault(value, []).append(index)
        ordered = [name for name in target.classes if name in members]
        counted = [RareClass(target.name, n, len(members[n]), len({*group_of[members[n]]})) for n in ordered]
        bad = [one for one in counted if one.photographs < least or one.groups < len(SPLITS)]
        common[target.name] = tuple(one.name for one in counted if one not in bad)
        rare += bad
        if len(common[target.name]) < 2:
            raise UsageError(_too_few_classes(target.name, common[target.name], bad, least))
    return common, rare


def _too_few_classes(target: str, common: Sequence[str], rare: Sequence[RareClass], least: int) -> str:
    found = "; ".join(
        f"{one.name} has {one.photographs} photograph{'s' * (one.photographs != 1)} in {one.groups} group"
        f"{'s' * (one.groups != 1)}"
        for one in rare
    )
    return (
        f"Target '{target}' leaves {f'only the class {common[0]}' if common else 'no class'} to learn, and a data set "
        f"needs two with at least {least} photographs in 3 groups each{f' ({found})' if found else ''}; "
        "harvest more, or lower --least."
    )


def _numbered(gathered: Gathered, classes: dict[str, tuple[str, ...]]) -> tuple[NDArray[np.int64], int]:
    """Return class numbers, shape (photographs, targets), counted through over the targets, −1 for none."""
    columns, start = [], 0
    for name, names in classes.items():
        number = {one: start + index for index, one in enumerate(names)}
        columns.append([number.get(value or "", -1) for value in gathered.classes[name]])
        start += len(names)
    return np.asarray(columns, dtype=np.int64).T, start


def _named(
    hashes: Sequence[str], group_of: NDArray[np.int64], kept: NDArray[np.intp]
) -> tuple[NDArray[np.int64], list[str]]:
    """Number the groups from 0, and name each by the smallest hash in it: row numbers play no part."""
    _, numbers = np.unique(group_of, return_inverse=True)
    names = [""] * (int(numbers.max()) + 1)
    for group, index in zip(numbers.tolist(), kept.tolist(), strict=True):
        names[group] = min(names[group] or hashes[index], hashes[index])
    return numbers.astype(np.int64), [name[:16] for name in names]


def _manifest(
    gathered: Gathered, rows: NDArray[np.intp], groups: list[str], sides: list[str], classes: dict[str, tuple[str, ...]]
) -> pa.Table:
    """Return the manifest's rows in the given order."""
    table = gathered.table.take(pa.array(rows))
    columns = {name: table.column(name) for name in table.column_names}
    paths = pc.binary_join_element_wise(pc.utf8_slice_codeunits(columns["sha256"], 0, 2), columns["sha256"], "/")
    columns |= {"path": paths, "split": pa.array(sides, pa.string()), "group": pa.array(groups, pa.string())}
    columns |= {name: pa.nulls(len(rows), MANIFEST_COLUMNS.field(name).type) for name in CROP_COLUMNS}
    manifest = pa.table([columns[name] for name in MANIFEST_COLUMNS.names], schema=MANIFEST_COLUMNS)
    for target, names in classes.items():
        values = [gathered.classes[target][row] for row in rows.tolist()]
        numbers = [gathered.numbers[target][row] for row in rows.tolist()]
        labels = [value if value in names else None for value in values]
        stops = [number if label else None for number, label in zip(numbers, labels, strict=True)]
        manifest = manifest.append_column(label_column(target), pa.array(labels, pa.string()))
        manifest = manifest.append_column(stops_column(target), pa.array(stops, pa.float64()))
    return manifest
