"""Freezing a data set: a folder that appears whole and never changes."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from os.path import relpath
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from harvest.catalogue.tables import DataSet as DataSetRow
from labels import card
from labels.baselines import Baseline, baselines, warnings_of
from labels.counts import class_counts
from labels.dataset import SPEC_FILE, SPLITS, DataSet, Spec, TargetSpec, read_dataset, write_dataset
from labels.deal import Choices, Dealt, deal
from labels.differences import differences
from labels.gather import Gathered, gather
from labels.targets.base import Target
from lightmeter import __version__
from lightmeter.errors import UsageError
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

    dataset: DataSet
    dealt: Dealt
    new: bool
    notes: tuple[str, ...]
    cheats: dict[str, list[Baseline]]


def split(engine: Engine, project: Project, folder: Path, targets: Sequence[Target[Any]], choices: Choices) -> Frozen:
    """Freeze a data set.

    Args:
        engine: of the catalogue.
        project: whose photographs these are.
        folder: of the data set; its last part is the name.
        targets: at least one.
        choices: how to deal.

    Raises:
        UsageError: if no split can be made of these photographs, or the folder holds something else.
    """
    with engine.connect() as connection:
        gathered = gather(connection, targets, choices.where)
    dealt = deal(gathered, choices)
    cheats = {target.name: _baselines(target, dealt) for target in gathered.targets}
    notes = (
        *(warning for name, found in cheats.items() for warning in warnings_of(found, name)),
        *_notes(gathered, dealt, choices),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as made:
        draft = Path(made) / folder.name
        spec = write_dataset(draft, _spec(gathered, dealt, choices, folder, project), dealt.manifest)
        if _is_there(folder, DataSet(draft, spec, dealt.manifest)):
            return Frozen(read_dataset(folder), dealt, new=False, notes=notes, cheats=cheats)
        card.write(draft, spec, dealt.manifest, notes, cheats)
        with engine.connect() as connection:
            card.write_attribution(draft, connection, dealt.image_ids)
        draft.rename(folder)
    _record(engine, folder, spec)
    return Frozen(DataSet(folder, spec, dealt.manifest), dealt, new=True, notes=notes, cheats=cheats)


def _is_there(folder: Path, draft: DataSet) -> bool:
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
    if there.spec.split != draft.spec.split or there.spec.targets != draft.spec.targets:
        raise UsageError(f"{folder} is frozen already with other choices (see its {SPEC_FILE}). Choose another name.")
    return True


def _spec(gathered: Gathered, dealt: Dealt, choices: Choices, folder: Path, project: Project) -> Spec:
    store = project.store.resolve()
    inside = folder.resolve().is_relative_to(project.root) and store.is_relative_to(project.root)
    sides = {row["values"]: row["counts"] for row in dealt.manifest.column("split").value_counts().to_pylist()}
    return Spec(
        name=folder.name,
        manifest_sha256="",
        store=Path(relpath(store, folder.resolve())).as_posix() if inside else str(store),
        targets=tuple(_target(target, dealt.classes[target.name]) for target in gathered.targets),
        split={
            "seed": choices.seed,
            "ratios": list(choices.ratios),
            "group": list(choices.group),
            "least": choices.least,
            "where": choices.where,
            **({"folds": choices.folds, "fold": choices.fold} if choices.folds else {}),
            **({"holdout_source": choices.holdout_source} if choices.holdout_source else {}),
            "groups": dealt.groups,
            "left_out": [asdict(one) for one in dealt.rare],
            "lightmeter": __version__,
        },
        counts={side: sides.get(side, 0) for side in SPLITS},
    )


def _baselines(target: Target[Any], dealt: Dealt) -> list[Baseline]:
    spec = _target(target, dealt.classes[target.name])
    return baselines(dealt.manifest, spec, (*target.columns, *target.related))


def _target(target: Target[Any], classes: tuple[str, ...]) -> TargetSpec:
    number = dict(zip(target.classes, target.stops, strict=False))
    stops = tuple(number[name] for name in classes if name in number)
    return TargetSpec(target.name, target.version, classes, stops, target.unit)


def _record(engine: Engine, folder: Path, spec: Spec) -> None:
    row = {"name": spec.name, "path": str(folder.resolve()), "manifest_sha256": spec.manifest_sha256}
    with engine.begin() as connection:
        connection.execute(insert(DataSetRow).values(**row, spec=asdict(spec)))


def _notes(gathered: Gathered, dealt: Dealt, choices: Choices) -> Iterator[str]:
    for target in gathered.targets:
        rare = [one for one in dealt.rare if one.target == target.name]
        if rare:
            said = ", ".join(f"{one.name} ({one.photographs} in {one.groups})" for one in rare)
            yield (
                f"Classes of {target.name} that are left out, with their photographs and groups: {said}; a class needs "
                f"{choices.least} photographs in 3 groups."
            )
    for target in gathered.targets:
        for value, count in sorted(gathered.strange[target.name].items()):
            yield f"{count} labels of {target.name} say '{value}', which is none of its classes; they are left out."
        if gathered.outdated[target.name]:
            yield (
                f"{gathered.outdated[target.name]} labels of {target.name} were made by another version of its "
                f"definition; 'lightmeter labels apply {target.name}' renews them."
            )
        yield from _missing(dealt, target.name)
    if not any(dealt.keys[kind] for kind in ("owner", "body", "camera")) and "photographer" in choices.group:
        yield (
            "No photograph names its photographer or camera body, so only near-identical pictures are kept together; "
            "harvest with --owner-from-folders or from sources that name owners to rule out that leak."
        )


def _missing(dealt: Dealt, target: str) -> Iterator[str]:
    counts = class_counts(dealt.manifest, TargetSpec(target, "", dealt.classes[target]))
    for side in SPLITS:
        lacking = [name for name, of in counts.items() if not of[side]]
        if lacking:
            yield f"The side {side} has no photograph of {target} {', '.join(lacking)}: its groups are entangled."
