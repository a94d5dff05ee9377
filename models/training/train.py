"""Train a recipe on a data set and write the run folder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightmeter.errors import UsageError
from lightmeter.executors.base import Executor
from lightmeter.images.memory import keep_freed_memory
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import label_column
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.labels.datasets.union import DatasetUnion
from lightmeter.models import architectures
from lightmeter.models.evaluation.predictions import prediction_rows
from lightmeter.models.evaluation.report import write_history, write_report
from lightmeter.models.evaluation.split_metrics import split_metrics
from lightmeter.models.runtime.engines import EngineError, EngineName, engine_version
from lightmeter.models.runtime.exif_features import MANIFEST_COLUMNS
from lightmeter.models.runtime.input_warnings import STATISTICS
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training import distributed
from lightmeter.models.training.data.loader import Row, labelled
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.methods import Network, Probe, Training
from lightmeter.models.training.network.trainer import Trainer
from lightmeter.models.training.pretrained import load_backbones
from lightmeter.models.training.recipe import Recipe, flat_settings, model_spec
from lightmeter.models.training.reservation import ReservedRun, complete_run
from lightmeter.models.training.resource_usage import ResourceUsage, describe_device
from lightmeter.models.training.runs import write_metrics, write_model, write_predictions, write_run_recipe
from lightmeter.models.training.tracking import Tracking
from lightmeter.models.training.trial_pass import check_recipe
from lightmeter.models.training.validation import validation_logits

MAX_SEED = 2**32 - 1  # of scikit-learn

_RANGE_PERCENTILES = (1, 99)


@dataclass(frozen=True)
class TrainingRun:
    """A finished training.

    Attributes:
        folder: The run folder.
        metrics: Content of ``metrics.json``.
    """

    folder: Path
    metrics: dict[str, Any]


def train(  # noqa: PLR0913 - an argument an option of the command
    recipe: Recipe,
    dataset: Dataset,
    run: ReservedRun,
    *,
    device: str,
    engine: EngineName = "torch",
    seed: int,
    tracking: Tracking | None = None,
    executor: Executor | None = None,
) -> TrainingRun:
    """Train a model, evaluate it on validation, and write the run folder; the test split is not read.

    With several processes (``torchrun``) the main process evaluates and writes.

    Args:
        recipe: What to train.
        dataset: What to train on.
        run: Reserved name and folder.
        device: torch device.
        engine: What computes the features of a probe.
        seed: Random seed.
        tracking: Records each epoch and the metrics on validation.
        executor: Where inputs, activations and features are computed (default: this process).

    Raises:
        UsageError: The data set has too few labels, or the recipe does not suit it.
    """
    keep_freed_memory()
    rows = _labelled_rows(dataset)
    _check_tags(recipe, dataset)
    tracking = tracking or Tracking()
    if not (isinstance(recipe.training, Network) or distributed.is_main_process()):
        return TrainingRun(run.folder, {})  # heads and trees are fitted by one process
    job = FitJob(dataset, rows, seed, run.partial, run.resume, tracking, executor)
    predictor = _initial_predictor(recipe, dataset, run.name, device, engine, seed)
    weights = load_backbones(predictor.network, recipe)
    check_recipe(predictor, recipe)
    _prepare_engine(predictor, recipe.training)
    usage = ResourceUsage()
    with usage.measured():
        result = _fit(predictor, job, recipe.training)
    if not distributed.is_main_process():
        return TrainingRun(run.folder, {})
    facts = {**_facts(recipe, predictor, job, result), **usage.facts(result.earlier_seconds, device)}
    spec = replace(
        predictor.spec,
        targets=tuple(replace(t, temperature=result.temperatures[t.name]) for t in predictor.spec.targets),
        training={**facts, **({"weights_sha256": weights} if weights else {})},
        ranges=statistics_ranges(result.inputs["train"].statistics),
    )
    metrics = _write_run(run, Predictor(spec, predictor.network, device, engine), result, job, recipe)
    tracking.log(len(result.history) + 1, _tracked(metrics))
    return TrainingRun(run.folder, metrics)


def _tracked(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the metrics on validation as trackers name them."""
    targets: Mapping[str, Mapping[str, Any]] = metrics["validation"]["targets"]
    return {
        f"validation/{target}/{name}": estimate["value"]
        for target, values in targets.items()
        for name, estimate in values.items()
        if isinstance(estimate, Mapping) and "value" in estimate
    }


def check_seed(seed: int) -> None:
    """Check that all generators of random numbers accept a seed.

    Raises:
        UsageError: The seed is negative or too large.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"The seed must be from 0 to {MAX_SEED:,}, not {seed}.")


def statistics_ranges(photographs: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the 1st and 99th percentile of each image statistic.

    Args:
        photographs: Statistics of the training photographs.
    """
    values = {name: [photo[name] for photo in photographs if name in photo] for name in STATISTICS}
    percentiles = {name: np.percentile(numbers, _RANGE_PERCENTILES) for name, numbers in values.items() if numbers}
    return {name: (round(float(low), 1), round(float(high), 1)) for name, (low, high) in percentiles.items()}


def _initial_predictor(
    recipe: Recipe, dataset: Dataset, name: str, device: str, engine: EngineName, seed: int
) -> Predictor:
    """Return a predictor with the initial network: with random weights."""
    torch.manual_seed(seed)
    data = _describe_data(dataset)
    try:
        spec = model_spec(recipe, name, dataset.spec.targets, data)
        network = architectures.build(spec)
    except Exception as error:  # of another package, or of torch
        reason = str(error.args[0] if error.args else type(error).__name__).strip().splitlines()[0].rstrip(".")
        raise UsageError(f"Cannot build the network of {recipe.name}: {reason}.") from error
    return Predictor(spec, network, device, engine)


def _describe_data(dataset: Dataset) -> dict[str, Any]:
    """Return name and hash of a data set, and of each part of a union."""
    description = {"name": dataset.spec.name, "manifest_sha256": dataset.spec.manifest_sha256}
    parts = dataset.parts if isinstance(dataset, DatasetUnion) else ()
    return {**description, **({"datasets": [_describe_data(part) for part in parts]} if parts else {})}


def _prepare_engine(predictor: Predictor, training: Training) -> None:
    """Load the engine before any photograph is decoded.

    Raises:
        UsageError: The engine cannot run the network.
    """
    try:
        if isinstance(training, Probe):
            predictor.prepare("features")
    except EngineError as error:
        raise UsageError(str(error)) from error


def _fit(predictor: Predictor, job: FitJob, training: Training) -> FitResult:
    if isinstance(training, Network):
        return Trainer(predictor, job, training).fit()
    if isinstance(training, Probe):  # scikit-learn, which only these need, takes two seconds to import
        from lightmeter.models.training.heads.probe import fit_probe

        return fit_probe(predictor, job, training)
    from lightmeter.models.training.heads.boosting import fit_boosting

    return fit_boosting(predictor, job, training)


def _write_run(
    run: ReservedRun, predictor: Predictor, result: FitResult, job: FitJob, recipe: Recipe
) -> dict[str, Any]:
    spec = predictor.spec
    with complete_run(run) as temporary:
        logits = validation_logits(predictor, recipe.training, result.inputs["validation"], job.dataset)
        predictions = [entry for row, values in logits for entry in prediction_rows(row, spec, values)]
        metrics = {
            "format": 1,
            "validation": split_metrics(predictions, spec.targets, job.dataset, job.seed),
            "training": dict(spec.training),
            "unreadable": result.unreadable,
        }
        write_predictions(temporary, predictions)
        write_history(temporary, result.history)
        write_metrics(temporary, metrics)
        write_run_recipe(temporary, recipe, job.seed, list(spec.datasets))
        write_report(temporary, spec, metrics, predictions, flat_settings(recipe))
        result.finish(predictor.network)
        write_model(temporary, spec, predictor.network)
    return metrics


def _labelled_rows(dataset: Dataset) -> dict[str, list[Row]]:
    """Return the labelled rows of training and validation, or raise an error if labels are missing."""
    rows = {split: labelled(dataset.rows(split), dataset.spec.targets) for split in ("train", "validation")}
    for target in dataset.spec.targets:
        present = {split: set(_labels(rows[split], target)) & set(target.classes) for split in rows}
        if len(present["train"]) < 2:
            raise UsageError(
                f"The training split of {dataset.spec.name} has fewer than two classes of '{target.name}'; create a "
                "data set with more photographs."
            )
        if not present["validation"]:
            raise UsageError(
                f"The validation split of {dataset.spec.name} has no label for '{target.name}'; create a data set with "
                "more photographers."
            )
    return rows


def _labels(rows: Sequence[Row], target: TargetSpec) -> list[str]:
    """Return all labels of a target; a multilabel photograph has several."""
    values = [row[label_column(target.name)] for row in rows]
    return [name for value in values if value is not None for name in (value if target.multilabel else [value])]


def _check_tags(recipe: Recipe, dataset: Dataset) -> None:
    """Reject EXIF tags from which the labels are derived."""
    tags = recipe.preprocessing.exif
    for target in dataset.spec.targets:
        leaking = [tag for tag in tags if MANIFEST_COLUMNS.get(tag) in target.determined_by]
        if leaking:
            rest = [tag for tag in tags if tag not in leaking]
            raise UsageError(
                f"The recipe {recipe.name} uses the EXIF tag '{leaking[0]}', which determines the labels of "
                f"'{target.name}'; exclude it: --set 'exif={rest}'."
            )


def _class_weights(training: Training, targets: Sequence[str]) -> str:
    """Describe which targets have class weights."""
    weighted = [name for name in targets if training.weights_classes(name)]
    if len(weighted) == len(targets):
        return "balanced"
    return f"balanced for {', '.join(weighted)}" if weighted else "none"


def _facts(recipe: Recipe, predictor: Predictor, job: FitJob, result: FitResult) -> dict[str, Any]:
    counts = {target.name: Counter(_labels(job.rows["train"], target)) for target in job.dataset.spec.targets}
    return {
        "seed": job.seed,
        "photographs": {
            target: ", ".join(f"{name} {count}" for name, count in numbers.most_common())
            for target, numbers in counts.items()
        },
        "class_weights": _class_weights(recipe.training, list(counts)),
        "device": describe_device(str(predictor.device)),
        "torch": torch.__version__,
        "engine": engine_version(predictor.engine),
        "processes": distributed.world_size(),
        "parameters": sum(parameter.numel() for parameter in predictor.network.parameters()),
        "trained_parameters": result.trained_parameters,
        **result.facts,
    }
