"""Create data sets: folders that appear complete and never change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select

from lightmeter import __version__
from lightmeter.errors import UsageError
from lightmeter.files import temporary_folder
from lightmeter.harvest.catalogue.database.session import write
from lightmeter.harvest.catalogue.models import DatasetRecord, Label
from lightmeter.labels.datasets.card.advisories import advisories, changes_since_previous
from lightmeter.labels.datasets.card.card import write_attribution, write_card
from lightmeter.labels.datasets.card.citation import write_citation
from lightmeter.labels.datasets.card.croissant import write_croissant
from lightmeter.labels.datasets.card.shortcuts import Baseline, shortcut_baselines
from lightmeter.labels.datasets.collect import LabelledPhotos
from lightmeter.labels.datasets.dataset import Dataset, read_dataset, reread, write_dataset
from lightmeter.labels.datasets.diff import dataset_changes, differences, spec_changes
from lightmeter.labels.datasets.manifest import SPLITS
from lightmeter.labels.datasets.spec import SPEC_FILE, DatasetSpec, Publication, TargetSpec
from lightmeter.labels.datasets.splits.extend import Base
from lightmeter.labels.datasets.splits.published import PublishedSplit
from lightmeter.labels.datasets.splits.split import SplitOptions, SplitResult, split
from lightmeter.labels.targets.base import Target
from lightmeter.project import Project
from lightmeter.store.local import LocalStore
from lightmeter.store.urls import StoreUrl

_LABELS = 100_000  # that are read at once


@dataclass(frozen=True)
class FreezeResult:
    """A data set in its folder.

    Attributes:
        dataset: The data set.
        split: Result of the split.
        created: False if the folder already had the same data set.
        advisories: What a user should know, one sentence each.
        baselines: Shortcut baselines by target name.
        unknown_ids: Photographs of a published split that the catalogue does not have.
    """

    dataset: Dataset
    split: SplitResult
    created: bool
    advisories: Sequence[str]
    baselines: Mapping[str, Sequence[Baseline]]
    unknown_ids: Sequence[str] = ()


def freeze(
    engine: Engine,
    project: Project,
    folder: Path,
    photographs: LabelledPhotos,
    options: SplitOptions,
    base: Base | None = None,
    like: PublishedSplit | None = None,
) -> FreezeResult:
    """Split photographs and create a data set.

    Args:
        engine: Catalogue engine; the new data set is recorded there.
        project: Project of the photographs.
        folder: Data set folder; its last part is the name.
        photographs: Labelled photographs.
        options: Options of the split.
        base: Data set that is extended.
        like: Published split that is repeated.

    Raises:
        UsageError: The photographs cannot be split, or the folder has something else in it.
    """
    result = like.split(photographs, options) if like else split(photographs, options, base)
    targets = [_target_spec(target, result.classes[target.name]) for target in photographs.targets]
    baselines = {target.name: shortcut_baselines(result.manifest, target) for target in targets}
    weaknesses = list(advisories(photographs, result, targets, options, baselines))
    unknown = like.unknown if like else ()
    texts = [*(like.advisories if like else ()), *weaknesses]
    with temporary_folder(folder.parent) as temporary:
        draft_folder = temporary / folder.name
        spec = _spec(targets, result, options, folder, project)
        spec = replace(spec, publication=_publication(engine, project, [target.name for target in targets]))
        if base is not None:
            spec.split["extends"] = base.recorded
        if like is not None:
            spec.split["like"] = like.recorded
        spec = write_dataset(draft_folder, spec, result.manifest)
        draft = Dataset(draft_folder, spec, result.manifest)
        existing = _existing(folder, draft)
        if existing:
            _record(engine, project, folder, existing.spec)  # the command that made it may have been killed before
            return FreezeResult(
                existing, result, created=False, advisories=texts, baselines=baselines, unknown_ids=unknown
            )
        if base is None:
            texts += changes_since_previous(engine, project, folder, draft)
        else:
            changes = "; ".join(dataset_changes(base.dataset, reread(draft))) or "no changes"
            texts.append(f"Extends {base.dataset.spec.name}: {changes}.")
        with engine.connect() as connection:
            write_attribution(draft_folder, connection, result.image_ids)
        write_card(draft, project.store, texts, baselines)
        write_citation(draft)
        write_croissant(draft, weaknesses)
        try:
            draft_folder.rename(folder)
        except OSError as error:  # another command has made it meanwhile
            raise UsageError(f"{folder} exists ({error.strerror}); choose another name.") from error
    _record(engine, project, folder, spec)
    dataset = replace(draft, folder=folder)
    return FreezeResult(dataset, result, created=True, advisories=texts, baselines=baselines, unknown_ids=unknown)


def _record(engine: Engine, project: Project, folder: Path, spec: DatasetSpec) -> None:
    """Record a data set in the catalogue, unless it is recorded there."""
    row = {"name": spec.name, "path": _recorded_path(project, folder), "manifest_sha256": spec.manifest_sha256}

    def work(connection: Connection) -> None:
        if connection.scalar(select(DatasetRecord.id).filter_by(**row).limit(1)) is None:
            connection.execute(insert(DatasetRecord).values(**row, spec=asdict(spec)))

    write(engine, work)


def _existing(folder: Path, draft: Dataset) -> Dataset | None:
    """Return the data set of a folder if it equals the draft, None if the folder is missing or empty.

    Raises:
        UsageError: The folder has something else in it.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / SPEC_FILE).is_file():
        raise UsageError(f"{folder} exists and is not a data set; choose another name.")
    existing = read_dataset(folder)
    same_bytes = existing.spec.manifest_sha256 == draft.spec.manifest_sha256
    if not same_bytes and (changes := differences(existing.manifest, reread(draft).manifest)):
        changes = [*spec_changes(existing, draft), *changes]
        raise UsageError(f"Data set {folder} exists and would change: {'; '.join(changes)}. Choose another name.")
    options, draft_options = ({**dataset.spec.split, "lightmeter": ""} for dataset in (existing, draft))
    if options != draft_options or existing.spec.targets != draft.spec.targets:
        changes = spec_changes(existing, draft) or [f"see its {SPEC_FILE}"]
        raise UsageError(f"Data set {folder} exists with other options: {'; '.join(changes)}. Choose another name.")
    return existing


def _recorded_path(project: Project, folder: Path) -> str:
    """Return the path of a data set, relative to the project if it lies in it, so that the project can be moved."""
    path = folder.resolve()
    return str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)


def _spec(
    targets: Sequence[TargetSpec], result: SplitResult, options: SplitOptions, folder: Path, project: Project
) -> DatasetSpec:
    recorded = {name: value for name, value in asdict(options).items() if value or name == "seed"}
    recorded |= {"ratios": list(options.ratios), "group_by": list(options.group_by)}
    if options.crop:
        recorded["crop"] = options.crop.kind
    if options.undersample:
        recorded["undersampled"] = result.undersampled
    recorded["groups"] = result.groups
    recorded["excluded_classes"] = [asdict(item) for item in result.rare_classes]
    counts = {row["values"]: row["counts"] for row in result.manifest["split"].value_counts().to_pylist()}
    return DatasetSpec(
        name=folder.name,
        manifest_sha256="",
        store=_store_url(project, folder),
        targets=tuple(targets),
        split={**recorded, "lightmeter": __version__},
        counts={split: counts.get(split, 0) for split in SPLITS},
    )


def _publication(engine: Engine, project: Project, targets: Sequence[str]) -> Publication:
    """Return authors, licence and date of a data set with labels of some targets."""
    settings = project.settings.project
    newest = select(func.max(Label.created_at)).where(Label.target.in_(targets))
    with engine.connect() as connection:
        last = connection.scalar(select(func.max(Label.id))) or 0
        ranges = (Label.id.between(start + 1, start + _LABELS) for start in range(0, last, _LABELS))
        dates = [connection.scalar(newest.where(label_ids)) for label_ids in ranges]
    created_at = max((date for date in dates if date), default=None)
    return Publication(
        created_at.date().isoformat() if created_at else "",
        settings.authors or (settings.name or project.root.name,),
        settings.licence,
        settings.url,
    )


def _store_url(project: Project, folder: Path) -> str:
    """Return the URL of the store, relative if both lie in the project, so that the project can be moved."""
    url, root = StoreUrl.parse(project.settings.store.url), folder.resolve()
    in_project = isinstance(project.store, LocalStore) and project.store.root.resolve().is_relative_to(project.root)
    return str(url.seen_from(project.root, root, relative=in_project and root.is_relative_to(project.root)))


def _target_spec(target: Target[Any], classes: tuple[str, ...]) -> TargetSpec:
    stops = tuple(number for number in map(target.number_of, classes) if number is not None)
    determined_by = (*target.exif_columns, *target.related_columns)
    definition = target.definition.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude={"name", "version", "by", "summary"}
    )
    return TargetSpec(
        target.name,
        target.version,
        classes,
        stops,
        target.unit,
        target.multilabel,
        determined_by,
        target.definition.summary,
        definition,
    )
