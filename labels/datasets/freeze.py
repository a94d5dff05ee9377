"""Freezing a data set: a folder that appears whole and never changes."""

import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from os.path import relpath
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from lightmeter import __version__
from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import DatasetRecord
from lightmeter.labels.datasets import card
from lightmeter.labels.datasets.advisories import advisories, changes_since_previous
from lightmeter.labels.datasets.collect import LabelledPhotos
from lightmeter.labels.datasets.dataset import (
    SPEC_FILE,
    SPLITS,
    Dataset,
    DatasetSpec,
    TargetSpec,
    read_dataset,
    write_dataset,
)
from lightmeter.labels.datasets.diff import differences
from lightmeter.labels.datasets.shortcuts import Baseline, shortcut_baselines, shortcut_warnings
from lightmeter.labels.datasets.split import SplitOptions, SplitResult, split
from lightmeter.labels.targets.base import Target
from lightmeter.project import Project


@dataclass(frozen=True)
class Frozen:
    """A data set that was frozen.

    Attributes:
        dataset: as it lies in its folder.
        dealt: how the photographs were dealt out.
        new: False where the folder held the very same data set before.
        notes: what a person should know of it, a sentence each.
        cheats: for each target, how well it is told without the picture.
    """

    dataset: Dataset
    dealt: SplitResult
    new: bool
    notes: tuple[str, ...]
    cheats: dict[str, list[Baseline]]


def freeze(engine: Engine, project: Project, folder: Path, gathered: LabelledPhotos, choices: SplitOptions) -> Frozen:
    """Freeze a data set.

    Args:
        engine: of the catalogue.
        project: whose photographs these are.
        folder: of the data set; its last part is the name.
        gathered: the photographs, chosen by the query of the choices.
        choices: how to deal.

    Raises:
        UsageError: if no split can be made of these photographs, or the folder holds something else.
    """
    dealt = split(gathered, choices)
    specs = {target.name: _target(target, dealt.classes[target.name]) for target in gathered.targets}
    cheats = {name: shortcut_baselines(dealt.manifest, target) for name, target in specs.items()}
    notes = [warning for name, found in cheats.items() for warning in shortcut_warnings(found, name)]
    notes += advisories(gathered, dealt, list(specs.values()), choices)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as made:
        draft = Path(made) / folder.name
        spec = write_dataset(draft, _spec(specs.values(), dealt, choices, folder, project), dealt.manifest)
        made_now = Dataset(draft, spec, dealt.manifest)
        if _is_there(folder, made_now):
            return Frozen(read_dataset(folder), dealt, new=False, notes=tuple(notes), cheats=cheats)
        notes += changes_since_previous(engine, folder, made_now)
        card.write_card(draft, spec, dealt.manifest, notes, cheats)
        with engine.connect() as connection:
            card.write_attribution(draft, connection, dealt.image_ids)
        draft.rename(folder)
    _record(engine, folder, spec)
    return Frozen(Dataset(folder, spec, dealt.manifest), dealt, new=True, notes=tuple(notes), cheats=cheats)


def _is_there(folder: Path, draft: Dataset) -> bool:
    """Return whether a folder holds the same data set already.

    Raises:
        UsageError: if it holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / SPEC_FILE).is_file():
        raise UsageError(f"{folder} is there and is no data set; choose another name.")
    there = read_dataset(folder)
    ways = differences(there.manifest, draft.manifest)
    if ways:
        raise UsageError(
            f"{folder} is frozen already, and now it would differ: {'; '.join(ways)}. Choose another name."
        )
    if _choices(there.spec) != _choices(draft.spec) or there.spec.targets != draft.spec.targets:
        raise UsageError(f"{folder} is frozen already with other choices (see its {SPEC_FILE}). Choose another name.")
    return True


def _choices(spec: DatasetSpec) -> dict[str, Any]:
    return {name: value for name, value in spec.split.items() if name != "lightmeter"}


def _spec(
    targets: Iterable[TargetSpec], dealt: SplitResult, choices: SplitOptions, folder: Path, project: Project
) -> DatasetSpec:
    store = project.store.resolve()
    inside = folder.resolve().is_relative_to(project.root) and store.is_relative_to(project.root)
    sides = {row["values"]: row["counts"] for row in dealt.manifest.column("split").value_counts().to_pylist()}
    return DatasetSpec(
        name=folder.name,
        manifest_sha256="",
        store=Path(relpath(store, folder.resolve())).as_posix() if inside else str(store),
        targets=tuple(targets),
        split={
            "seed": choices.seed,
            "ratios": list(choices.ratios),
            "group": list(choices.group),
            **({"least": choices.least} if choices.least else {}),
            "where": choices.where,
            **({"folds": choices.folds, "fold": choices.fold} if choices.folds else {}),
            **({"holdout_source": choices.holdout_source} if choices.holdout_source else {}),
            **({"balance": True, "thinned": dealt.thinned} if choices.balance else {}),
            **({"crop": choices.crop.kind} if choices.crop else {}),
            "groups": dealt.groups,
            "left_out": [asdict(one) for one in dealt.rare],
            "lightmeter": __version__,
        },
        counts={side: sides.get(side, 0) for side in SPLITS},
    )


def _target(target: Target[Any], classes: tuple[str, ...]) -> TargetSpec:
    stops = tuple(number for number in map(target.number_of, classes) if number is not None)
    determined_by = (*target.exif_columns, *target.related_columns)
    return TargetSpec(target.name, target.version, classes, stops, target.unit, target.multilabel, determined_by)


def _record(engine: Engine, folder: Path, spec: DatasetSpec) -> None:
    row = {"name": spec.name, "path": str(folder.resolve()), "manifest_sha256": spec.manifest_sha256}
    with engine.begin() as connection:
        connection.execute(insert(DatasetRecord).values(**row, spec=asdict(spec)))
