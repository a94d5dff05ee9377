"""Evaluation of a run on the test split: the only code that reads it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.executors.base import Executor
from lightmeter.files import check_folder
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import Split
from lightmeter.labels.datasets.names import PhotoNames
from lightmeter.models.evaluation.examples import write_examples
from lightmeter.models.evaluation.mistakes import write_mistakes
from lightmeter.models.evaluation.predictions import prediction_rows
from lightmeter.models.evaluation.report import write_report
from lightmeter.models.evaluation.split_metrics import split_metrics
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.predictor import split as split_arrays
from lightmeter.models.runtime.spec import ModelSpec
from lightmeter.models.training.data.feature_cache import cached_outputs, only_process
from lightmeter.models.training.data.loader import labelled
from lightmeter.models.training.recipe import flat_settings
from lightmeter.models.training.runs import (
    read_metrics,
    read_predictions,
    read_run_recipe,
    write_metrics,
    write_predictions,
)
from lightmeter.terminal import console


def evaluate_run(
    folder: Path, predictor: Predictor, dataset: Dataset, executor: Executor | None = None
) -> dict[str, Any]:
    """Evaluate a run on the test split, and write predictions, metrics and report into its folder.

    Args:
        folder: Run folder.
        predictor: Predictor of the run.
        dataset: Data set that the run was trained on.
        executor: Where the network runs (default: this process).

    Returns:
        The new content of ``metrics.json``.

    Raises:
        UsageError: The data set is not the one of the training, or it has no test photographs.
    """
    _check_dataset(predictor.spec, dataset)
    check_folder(folder)
    with only_process(folder / ".lock"):  # two at once would lose the record of one evaluation
        return _evaluate(folder, predictor, dataset, executor)


def _evaluate(folder: Path, predictor: Predictor, dataset: Dataset, executor: Executor | None) -> dict[str, Any]:
    spec = predictor.spec
    metrics = read_metrics(folder)
    other_splits = [row for row in read_predictions(folder) if row["split"] != "test"]
    predictions, unreadable = _predict_split(predictor, dataset, "test", executor)
    metrics["test"] = split_metrics(predictions, spec.targets, dataset, int(spec.training.get("seed", 0)))
    metrics["unreadable"] = [*(row for row in metrics.get("unreadable", []) if row["split"] != "test"), *unreadable]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    metrics["evaluations"] = [*metrics.get("evaluations", []), {"split": "test", "time": now}]
    if len(metrics["evaluations"]) > 1:
        console.get_console().note(
            f"{spec.name} was evaluated on the test split {len(metrics['evaluations'])} times; the report says so."
        )
    for target in spec.targets:
        write_mistakes(folder, target, predictions, dataset)
        write_examples(folder, target, predictions, dataset)
    write_predictions(folder, [*other_splits, *predictions])
    write_report(folder, spec, metrics, [*other_splits, *predictions], flat_settings(read_run_recipe(folder)))
    write_metrics(folder, metrics)
    return metrics


def _predict_split(
    predictor: Predictor, dataset: Dataset, split: Split, executor: Executor | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Predict every labelled photograph of a split.

    Returns:
        Rows of ``predictions.parquet``, and the photographs that could not be read with the reason.
    """
    targets = [dataset.spec.target(target.name) for target in predictor.spec.targets]
    logits = cached_outputs(predictor, "logits", dataset, labelled(dataset.rows(split), targets), executor)
    names, by_photograph = PhotoNames(dataset.folder), zip(logits.rows, split_arrays(logits.all()), strict=True)
    predictions = [
        {**item, "file": names[row["sha256"]]}
        for row, arrays in by_photograph
        for item in prediction_rows(row, predictor.spec, arrays)
    ]
    return predictions, logits.unreadable


def _check_dataset(spec: ModelSpec, dataset: Dataset) -> None:
    if dataset.spec.manifest_sha256 != spec.data.get("manifest_sha256"):
        raise UsageError(
            f"The run {spec.name} was not trained on this version of the data set {dataset.spec.name}: its test split "
            "may contain training photographs."
        )
    targets = [dataset.spec.target(target.name) for target in spec.targets]
    if not labelled(dataset.rows("test"), targets):
        raise UsageError(f"The data set {dataset.spec.name} has no labelled photograph in its test split.")
