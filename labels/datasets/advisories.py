"""What a person should know of a data set that is being frozen, a sentence each."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Engine, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import DatasetRecord
from lightmeter.labels.datasets.classes import RareClass, listed
from lightmeter.labels.datasets.collect import LabelledPhotos
from lightmeter.labels.datasets.counts import class_counts
from lightmeter.labels.datasets.dataset import SPLITS, Dataset, TargetSpec, read_dataset
from lightmeter.labels.datasets.diff import differences
from lightmeter.labels.datasets.split import SplitOptions, SplitResult

_FOLD = re.compile(r"fold-\d+")


def advisories(
    gathered: LabelledPhotos, dealt: SplitResult, targets: Sequence[TargetSpec], choices: SplitOptions
) -> Iterator[str]:
    """Yield what was left out, and where the split is weak.

    Args:
        gathered: what there was.
        dealt: what became of it.
        targets: of the data set.
        choices: how it was dealt out.
    """
    for target in gathered.targets:
        rare = [one for one in dealt.rare if one.target == target.name]
        if rare:
            yield _rare(target.name, rare, choices.least_of(target))
        yield from _origins(gathered, target.name)
        yield from _doubtful(gathered, target.name)
    if choices.crop and gathered.without_crop:
        yield f"{gathered.without_crop} photographs with a label are left out: there is no {choices.crop.kind} in them."
    if choices.balance:
        yield f"{dealt.thinned} photographs are left out so that every class has as many on each side as the rarest."
    for spec in targets:
        yield from _missing(dealt, spec)
    if dealt.nameless and "photographer" in choices.group:
        yield (
            f"{dealt.nameless} of {dealt.manifest.num_rows} photographs name neither photographer nor camera body, so "
            "of these only near-identical pictures are kept together, and one person's may stand on two sides; harvest "
            "with --owner-from-folders or from sources that name owners to rule out that leak."
        )


def changes_since_previous(engine: Engine, folder: Path, dataset: Dataset) -> Iterator[str]:
    """Yield in what a data set differs from its previous version: the newest of a like name with the same targets.

    Args:
        engine: of the catalogue.
        folder: where the data set is going to lie; ``shutter-v1`` and ``shutter-v2`` are versions of one.
        dataset: as it was made now.
    """
    before = _previous(engine, folder.resolve(), dataset)
    if before is not None:
        ways = [*_other_choices(before, dataset), *differences(before.manifest, dataset.manifest)]
        yield f"Against {_called(before.folder)}: {'; '.join(ways) or 'nothing differs'}."


def _previous(engine: Engine, folder: Path, dataset: Dataset) -> Dataset | None:
    with engine.connect() as connection:
        paths = connection.scalars(select(DatasetRecord.path).order_by(DatasetRecord.id.desc())).all()
    for path in map(Path, paths):
        before = _readable(path) if path != folder and _stem(path) == _stem(folder) else None
        if before is not None and _kind(before) == _kind(dataset):
            return before
    return None


def _kind(dataset: Dataset) -> tuple[object, ...]:
    return dataset.spec.split.get("fold"), *(target.name for target in dataset.spec.targets)


def _called(folder: Path) -> str:
    """Return a data set's name; of a fold also that of its folder."""
    return f"{folder.parent.name}/{folder.name}" if _FOLD.fullmatch(folder.name) else folder.name


def _readable(folder: Path) -> Dataset | None:
    try:
        return read_dataset(folder)
    except UsageError:
        return None


def _stem(folder: Path) -> str:
    """Return a data set's name without the number of its version; that of its folder where it is a fold."""
    name = folder.parent.name if _FOLD.fullmatch(folder.name) else folder.name
    return re.sub(r"[-_.]?v?\d+$", "", name)


def _other_choices(before: Dataset, after: Dataset) -> Iterator[str]:
    old, new = before.spec.split, after.spec.split
    for key in ("seed", "ratios", "group", "least", "where", "holdout_source", "balance", "crop"):
        if old.get(key) != new.get(key):
            yield f"another {key.replace('_', ' ')} ({old.get(key)} → {new.get(key)})"
    for one, other in zip(before.spec.targets, after.spec.targets, strict=True):
        if one.version != other.version:
            yield f"another definition of {one.name} ({one.version} → {other.version})"


def _rare(target: str, rare: Sequence[RareClass], least: int) -> str:
    return (
        f"Classes of {target} that are left out, with their photographs and groups: {listed(rare)}; a class needs "
        f"{least} photographs in 3 groups."
    )


def _origins(gathered: LabelledPhotos, target: str) -> Iterator[str]:
    """Yield where labels come from, if not from the rule alone."""
    found = gathered.origins[target]
    if found.keys() - {"rule"}:
        yield f"Labels of {target}: {', '.join(f'{number} by {origin}' for origin, number in found.most_common())}."


def _doubtful(gathered: LabelledPhotos, target: str) -> Iterator[str]:
    for value, count in sorted(gathered.strange[target].items()):
        yield f"{count} labels of {target} say '{value}', which is none of its classes; they are left out."
    if gathered.outdated[target]:
        yield (
            f"{gathered.outdated[target]} labels of {target} were made by another version of its definition; "
            f"'lightmeter labels apply {target}' renews them."
        )


def _missing(dealt: SplitResult, target: TargetSpec) -> Iterator[str]:
    counts = class_counts(dealt.manifest, target)
    for side in SPLITS:
        lacking = [name for name, of in counts.items() if not of[side]]
        if lacking:
            yield f"The side {side} has no photograph of {target.name} {', '.join(lacking)}: its groups are entangled."
