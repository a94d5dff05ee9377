"""Train a recipe on a data set; the result is a run folder."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lightmeter import __version__
from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset, TargetSpec, label_column
from lightmeter.models import architectures
from lightmeter.models.evaluation.predictions import predict_split
from lightmeter.models.evaluation.report import write_history, write_report
from lightmeter.models.evaluation.split_metrics import split_metrics
from lightmeter.models.runtime.exif_features import MANIFEST_COLUMNS
from lightmeter.models.runtime.memory import keep_freed_memory
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training import devices, distributed
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.heads.boosting import fit_boosting
from lightmeter.models.training.heads.probe import fit_probe
from lightmeter.models.training.loader import Row, labelled
from lightmeter.models.training.pretrained import load_backbones
from lightmeter.models.training.ranges import ranges_of
from lightmeter.models.training.recipe import Network, Probe, Recipe, Training
from lightmeter.models.training.resource_usage import ResourceUsage
from lightmeter.models.training.runs import new_run, write_metrics, write_model, write_predictions
from lightmeter.models.training.trainer import fit_network

_LEAST_CLASSES = 2


@dataclass(frozen=True)
class TrainingRun:
    """A run that was trained.

    Attributes:
        folder: where it lies.
        metrics: what ``metrics.json`` holds.
    """

    folder: Path
    metrics: dict[str, Any]


def train(
    recipe: Recipe, dataset: Dataset, folder: Path, *, device: str, seed: int, resume: bool = False
) -> TrainingRun:
    """Train, score on validation, and write the run folder; the test split is not touched.

    Of several processes (``torchrun``) the first one scores and writes.

    Args:
        recipe: what to train.
        dataset: what to train on.
        folder: of the run; it must not exist.
        device: as torch names it.
        seed: of everything that is drawn.
        resume: go on from the last checkpoint of a training that was interrupted.

    Raises:
        UsageError: if the data set has too little to train or to validate on.
    """
    keep_freed_memory()
    rows = _rows(dataset)
    _check_tags(recipe, dataset)
    work = FitJob(dataset, rows, seed, folder.with_name(f"{folder.name}.partial"), resume)
    predictor = _untrained(recipe, dataset, folder.name, device, seed)
    with distributed.process_group(device):
        effort = ResourceUsage()
        with effort.measured():
            fitted = _fit(predictor, work, recipe.training)
        if not distributed.is_main_process():
            return TrainingRun(folder, {})
        spec = replace(
            predictor.spec,
            targets=_calibrated(predictor.spec.targets, fitted.temperatures),
            training={**_facts(recipe, predictor, work, fitted), **effort.told(fitted.earlier_seconds, device)},
            ranges=ranges_of(predictor, dataset, rows["train"]),
        )
        metrics = _write(folder, Predictor(spec, predictor.network, device), fitted, work)
    shutil.rmtree(work.partial, ignore_errors=True)
    return TrainingRun(folder, metrics)


def _untrained(recipe: Recipe, dataset: Dataset, name: str, device: str, seed: int) -> Predictor:
    """Return a predictor whose network is as it begins: random, or with published weights in its trunk."""
    torch.manual_seed(seed)
    spec = _spec(recipe, dataset, name)
    try:
        network = architectures.build(spec)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"The network of {recipe.name} cannot be built: {error.args[0]}.") from error
    load_backbones(network, recipe)
    return Predictor(spec, network, device)


def _fit(predictor: Predictor, work: FitJob, training: Training) -> FitResult:
    if isinstance(training, Probe):
        return fit_probe(predictor, work, training)
    if isinstance(training, Network):
        return fit_network(predictor, work, training)
    return fit_boosting(predictor, work, training)


def _write(folder: Path, predictor: Predictor, fitted: FitResult, work: FitJob) -> dict[str, Any]:
    spec = predictor.spec
    with new_run(folder) as temporary:
        predictions, _ = predict_split(predictor, work.dataset, "validation")
        metrics = {
            "format": 1,
            "validation": split_metrics(predictions, spec.targets, work.dataset, work.seed),
            "training": dict(spec.training),
            "unreadable": fitted.unreadable,
        }
        write_predictions(temporary, predictions)
        write_history(temporary, fitted.history)
        write_metrics(temporary, metrics)
        write_report(temporary, spec, metrics, predictions)
        fitted.finish(predictor.network)
        write_model(temporary, spec, predictor.network)
    return metrics


def _rows(dataset: Dataset) -> dict[str, list[Row]]:
    """Return the labelled rows to learn from, or say what is missing."""
    rows = {split: labelled(dataset.rows(split), dataset.spec.targets) for split in ("train", "validation")}
    for target in dataset.spec.targets:
        present = {split: _present(some, target) for split, some in rows.items()}
        if len(present["train"]) < _LEAST_CLASSES:
            raise UsageError(
                f"The training split of {dataset.spec.name} has photographs of fewer than two classes of "
                f"'{target.name}'; there is nothing to tell apart."
            )
        if not present["validation"]:
            raise UsageError(
                f"The validation split of {dataset.spec.name} has no photograph with a label for "
                f"'{target.name}'; freeze a data set with more photographers."
            )
    return rows


def _present(rows: Sequence[Row], target: TargetSpec) -> set[str]:
    """Return the classes of a target that photographs have."""
    return set(_labels(rows, target)) & set(target.classes)


def _labels(rows: Sequence[Row], target: TargetSpec) -> list[str]:
    """Return every label of a target, of all photographs."""
    having = [row[label_column(target.name)] for row in rows]
    return [name for value in having if value is not None for name in (value if target.multilabel else [value])]


def _check_tags(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse to read off a tag what was labelled by that tag."""
    for target in dataset.spec.targets:
        told = [tag for tag in recipe.cut.exif if MANIFEST_COLUMNS.get(tag) in target.determined_by]
        if told:
            rest = [tag for tag in recipe.cut.exif if tag not in told]
            raise UsageError(
                f"The recipe {recipe.name} reads the EXIF tag '{told[0]}', of which the labels of '{target.name}' are "
                f"made; leave it out: --set 'exif={rest}'."
            )


def _spec(recipe: Recipe, dataset: Dataset, name: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        version="1.0",
        lightmeter=__version__,
        recipe=recipe.name,
        architecture=recipe.architecture,
        architecture_options=recipe.architecture_options,
        preprocessing=recipe.cut,
        targets=tuple(
            Target(target.name, target.classes, target.stops, target.unit, multiple=target.multilabel)
            for target in dataset.spec.targets
        ),
        data={"name": dataset.spec.name, "manifest_sha256": dataset.spec.manifest_sha256},
    )


def _calibrated(targets: Sequence[Target], temperatures: Mapping[str, float]) -> tuple[Target, ...]:
    return tuple(replace(target, temperature=temperatures[target.name]) for target in targets)


def _balance(work: FitJob, recipe: Recipe) -> dict[str, Any]:
    """Say how uneven the classes of training are, and what is done about it."""
    counts = {target.name: Counter(_labels(work.rows["train"], target)) for target in work.dataset.spec.targets}
    return {
        "photographs": {
            target: ", ".join(f"{name} {count}" for name, count in found.most_common())
            for target, found in counts.items()
        },
        "class_weights": "every class counts the same" if recipe.training.class_weights else "none",
    }


def _facts(recipe: Recipe, predictor: Predictor, work: FitJob, fitted: FitResult) -> dict[str, Any]:
    return {
        "seed": work.seed,
        **_balance(work, recipe),
        "device": devices.describe(str(predictor.device)),
        "torch": torch.__version__,
        "processes": distributed.world(),
        "parameters": sum(parameter.numel() for parameter in predictor.network.parameters()),
        "trained_parameters": fitted.trained_parameters,
        **fitted.facts,
    }
