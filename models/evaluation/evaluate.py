"""Look at the test split: the one place where that is done."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightmeter import console
from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.metrics.scoring import score
from lightmeter.models.evaluation.mistakes import write_mistakes
from lightmeter.models.evaluation.predictions import predict_split
from lightmeter.models.evaluation.report import write_report
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import ModelSpec
from lightmeter.models.training.loader import check_readable, labelled
from lightmeter.models.training.runs import read_metrics, read_predictions, write_metrics, write_predictions


def evaluate_run(folder: Path, predictor: Predictor, dataset: Dataset) -> dict[str, Any]:
    """Score a run on the test split and write that into its folder.

    Args:
        folder: of the run.
        predictor: of the run.
        dataset: that it was trained on, and no other.

    Returns:
        What ``metrics.json`` now holds.

    Raises:
        UsageError: if the data set is another one, or has no test photographs.
    """
    spec = predictor.spec
    _check(spec, dataset)
    metrics = read_metrics(folder)
    before = [row for row in read_predictions(folder) if row["split"] != "test"]
    found, unreadable = predict_split(predictor, dataset, "test")
    check_readable(dataset, "test", found)
    seed = int(spec.training.get("seed", 0))
    metrics["test"] = score(found, spec.targets, dataset, seed)
    known = [one for one in metrics.get("unreadable", []) if one["split"] != "test"]
    metrics["unreadable"] = [*known, *unreadable]
    metrics["evaluations"] = [
        *metrics.get("evaluations", []),
        {"split": "test", "time": datetime.now(UTC).isoformat(timespec="seconds")},
    ]
    if len(metrics["evaluations"]) > 1:
        console.get_console().note(
            f"{spec.name} was scored on its test split {len(metrics['evaluations'])} times now; its report says so."
        )
    for target in spec.targets:
        write_mistakes(folder, target, found, dataset)
    write_predictions(folder, [*before, *found])
    write_report(folder, spec, metrics, [*before, *found])
    write_metrics(folder, metrics)
    return metrics


def _check(spec: ModelSpec, dataset: Dataset) -> None:
    if dataset.spec.manifest_sha256 != spec.data.get("manifest_sha256"):
        raise UsageError(
            f"The run {spec.name} was trained on another data set than {dataset.spec.name} is now; "
            "its test split may hold photographs that the run has seen."
        )
    targets = [dataset.spec.target(target.name) for target in spec.targets]
    if not labelled(dataset.rows("test"), targets):
        raise UsageError(f"The data set {dataset.spec.name} has no labelled photograph in its test split.")
