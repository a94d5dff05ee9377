"""Advisories: what a user should know about a new data set."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import DatasetRecord
from lightmeter.labels.datasets.card.shortcuts import Baseline, shortcut_warnings
from lightmeter.labels.datasets.collect import LabelCounts, LabelledPhotos
from lightmeter.labels.datasets.dataset import Dataset, class_counts, read_dataset, reread
from lightmeter.labels.datasets.diff import dataset_changes
from lightmeter.labels.datasets.manifest import SPLITS, label_column
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.labels.datasets.splits.classes import RareClass, format_rare_classes
from lightmeter.labels.datasets.splits.split import SplitOptions, SplitResult
from lightmeter.project import Project
from lightmeter.text.numbers import counted

_FOLD = re.compile(r"fold-\d+")
_MIN_GROUPS = 10
"""Groups of a test split below which intervals over groups are too narrow."""

_MIN_OF_CLASS = (20, 5)
"""Photographs and groups of a class below which a split says little about the class."""


def advisories(
    photographs: LabelledPhotos,
    result: SplitResult,
    targets: Sequence[TargetSpec],
    options: SplitOptions,
    baselines: Mapping[str, Sequence[Baseline]],
) -> Iterator[str]:
    """Yield a sentence per shortcut, exclusion and weakness of a split.

    Args:
        photographs: Photographs that were split.
        result: Result of the split.
        targets: Targets of the data set.
        options: Options of the split.
        baselines: Shortcut baselines by target name.
    """
    for spec in targets:
        yield from shortcut_warnings(baselines[spec.name], spec.name, _largest_share(result, spec))
    for target in photographs.targets:
        rare = [item for item in result.rare_classes if item.target == target.name]
        if rare:
            yield (
                f"Excluded classes of {target.name}, with photographs and groups: {format_rare_classes(rare)}. A class "
                f"needs {counted(options.min_photographs(target), 'photograph')} in {len(SPLITS)} groups."
            )
        yield from _label_advisories(photographs.label_counts[target.name], target.name)
    if options.crop and photographs.uncropped:
        yield f"Excluded {counted(photographs.uncropped, 'labelled photograph')} without a {options.crop.kind} crop."
    if options.undersample:
        excluded = counted(result.undersampled, "photograph")
        yield f"Excluded {excluded} so that all classes have equal counts within each split."
    for spec in targets:
        yield from _small_classes(result.manifest, spec)
    yield from _few_groups(result, options)
    if result.ungrouped and "photographer" in options.group_by:
        yield (
            f"{result.ungrouped} of {result.manifest.num_rows} photographs have neither a photographer nor a camera "
            "body; only near-duplicates among them are grouped, so one photographer may be in several splits. To rule "
            "out this leak, harvest with --owner-from-folders or from sources that name owners."
        )


def changes_since_previous(engine: Engine, project: Project, folder: Path, dataset: Dataset) -> Iterator[str]:
    """Yield how a data set differs from its previous version: the latest with the same base name and targets.

    Args:
        engine: Catalogue engine.
        project: Project of the catalogue.
        folder: Future data set folder. ``shutter-v1`` and ``shutter-v2`` are versions of one data set.
        dataset: The new data set.
    """
    previous = _previous(engine, project, folder.resolve(), dataset)
    if previous is not None:
        name = previous.folder.name
        title = f"{previous.folder.parent.name}/{name}" if _FOLD.fullmatch(name) else name
        yield f"Changes since {title}: {'; '.join(dataset_changes(previous, reread(dataset))) or 'none'}."


def _previous(engine: Engine, project: Project, folder: Path, dataset: Dataset) -> Dataset | None:
    with engine.connect() as connection:
        paths = connection.scalars(select(DatasetRecord.path).order_by(DatasetRecord.id.desc())).all()
    for path in (project.root / path for path in paths):  # relative to the project, which may have moved
        if path != folder and _base_name(path) == _base_name(folder):
            try:
                previous = read_dataset(path)
            except UsageError:  # moved, deleted or damaged
                continue
            if _fold_and_targets(previous) == _fold_and_targets(dataset):
                return previous
    return None


def _fold_and_targets(dataset: Dataset) -> tuple[object, ...]:
    return dataset.spec.split.get("fold"), *(target.name for target in dataset.spec.targets)


def _base_name(folder: Path) -> str:
    """Return the name of a data set, or of a fold's parent folder, without the version number."""
    name = folder.parent.name if _FOLD.fullmatch(folder.name) else folder.name
    base = name.rstrip("0123456789")
    return re.sub(r"[-_.]?v?\Z", "", base) if base != name else name


def _label_advisories(counts: LabelCounts, target: str) -> Iterator[str]:
    if counts.origins.keys() - {"rule"}:
        origins = ", ".join(f"{number} {origin}" for origin, number in counts.origins.most_common())
        yield f"Labels of {target} by origin: {origins}."
    for value, number in sorted(counts.unknown.items()):
        yield f"Excluded {counted(number, 'label')} of {target} with the unknown class '{value}'."
    if counts.outdated:
        yield (
            f"Another version of the definition made {counted(counts.outdated, 'label')} of {target}. Run 'lightmeter "
            f"labels apply {target}' to update them."
        )


def _largest_share(result: SplitResult, target: TargetSpec) -> float:
    """Return the share of the most frequent class; 0 for multilabel targets, whose baseline is another."""
    counts = [sum(by_split.values()) for by_split in class_counts(result.manifest, target).values()]
    return 0.0 if target.multilabel or not any(counts) else max(counts) / sum(counts)


def _few_groups(result: SplitResult, options: SplitOptions) -> Iterator[str]:
    groups = len(pc.unique(result.manifest["group"].filter(pc.equal(result.manifest["split"], "test"))))
    if groups < _MIN_GROUPS and not options.folds:
        yield (
            f"Warning: The test split has {counted(groups, 'group')}; intervals over fewer than {_MIN_GROUPS} "
            "groups are unreliable. Use 'labels split --folds 5' to test on all groups in turn, or harvest from more "
            "photographers."
        )


def _small_classes(manifest: pa.Table, target: TargetSpec) -> Iterator[str]:
    """Yield which classes have no photographs in a split, and which have few photographs or groups."""
    label = label_column(target.name)
    rows = manifest.select(["split", "group", label]).filter(manifest[label].is_valid())
    if target.multilabel:
        lists = rows[label].combine_chunks()
        rows = rows.take(pc.list_parent_indices(lists)).set_column(2, label, pc.list_flatten(lists))
    table = rows.group_by(["split", label]).aggregate([("group", "count"), ("group", "count_distinct")])
    counts = {
        (row["split"], row[label]): (row["group_count"], row["group_count_distinct"]) for row in table.to_pylist()
    }
    for split in SPLITS:
        classes = [RareClass(target.name, name, *counts.get((split, name), (0, 0))) for name in target.classes]
        missing = [item.name for item in classes if not item.photographs]
        if missing:
            yield (
                f"The {split} split has no photograph of {target.name} {', '.join(missing)}: too few groups have them."
            )
        photographs, groups = _MIN_OF_CLASS
        small = [item for item in classes if item.photographs < photographs or item.groups < groups]
        small = [item for item in small if item.photographs]
        if small:
            yield (
                f"Warning: The {split} split has fewer than {photographs} photographs or {groups} groups of "
                f"{target.name} {format_rare_classes(small)}; numbers of these classes are unreliable."
            )
