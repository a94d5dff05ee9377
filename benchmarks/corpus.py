"""Cross-validate recipes on a folder of real photographs; no photographer is in two folds.

    python -m benchmarks.corpus CORPUS [--recipes patches,lightmeter] [--folds 5] [--seed 0] [--cache DIR]
        [--lockbox FOLDER] [--photographs N] [--one-penalty] [--class-weights TASKS] [--out results.csv]

CORPUS contains ``digital/PHOTOGRAPHER/…`` and ``film/PHOTOGRAPHER/…``, as ``benchmarks.gather`` writes them. For each
task and fold the heads are fitted to the photographers of the other folds as by ``lightmeter models train``: the
penalty, the variance of the random intercepts and the temperature are selected by cross-validation within them, so the
held-out fold selects nothing. Metrics are computed over all folds together, once with each photograph counting the same
and once with each photographer. Photographs with a setting between the classes are used for training if the recipe
supports it, and never for evaluation. With ``--lockbox`` the heads are fitted to the whole corpus instead and evaluated
on the photographers of that folder.

The features of a frozen backbone do not depend on the fold; they are computed once for each photograph and cached.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.corpus_features import part_widths, read_corpus
from benchmarks.corpus_tasks import TASKS, Photo, Task
from lightmeter.bootstrap import Estimate, Scale, format_estimate, group_indices, group_intervals
from lightmeter.models.evaluation.metrics.base import SCALES, estimates
from lightmeter.models.evaluation.metrics.calibration import fit_temperature
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.intervals import StopsDistribution
from lightmeter.models.runtime.predictor import calibrated
from lightmeter.models.training.heads.probe import Parts, fit_head, standardise
from lightmeter.models.training.heads.softmax import linear_logits
from lightmeter.models.training.methods import Probe
from lightmeter.models.training.recipe import read_recipe


@dataclass(frozen=True)
class TaskData:
    """The photographs of a task.

    Attributes:
        features: Features, shape (N, F).
        rows: Manifest rows of the same photographs.
        classes: Index of the class, −1 for a setting between the classes, shape (N,).
        stops: Setting in stops, NaN if missing, shape (N,).
    """

    features: torch.Tensor
    rows: list[dict[str, Any]]
    classes: np.ndarray
    stops: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of photographs, or a file of benchmarks.corpus_features")
    parser.add_argument("--recipes", default="patches,lightmeter", help="recipes, separated by commas")
    parser.add_argument("--folds", type=int, default=5, help="number of folds (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the fold assignment of photographers")
    parser.add_argument(
        "--tasks",
        default=",".join(str(index) for index in range(len(TASKS))),
        help="indices of tasks, separated by commas (default: all)",
    )
    parser.add_argument(
        "--class-weights", default="0,1,2,3,4,5", help="tasks with class weights (default: those in classes)"
    )
    parser.add_argument("--one-penalty", action="store_true", help="ignore part_strengths of the recipes")
    parser.add_argument("--lockbox", type=Path, help="evaluate on this folder of photographs instead of by folds")
    parser.add_argument("--photographs", type=int, help="number to take of each photographer at most (default: all)")
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"), help="folder of cached features")
    parser.add_argument("--out", type=Path, default=Path("corpus-results.csv"), help="CSV file of results")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    weighted = set(map(int, filter(None, options.class_weights.split(","))))
    for name in options.recipes.split(","):
        recipe = read_recipe(name)
        assert isinstance(recipe.training, Probe)
        training = recipe.training.model_copy(update={"part_strengths": {}} if options.one_penalty else {})
        photos, features = read_corpus(options.corpus, recipe, options.cache, options.photographs)
        locked: list[Photo] = []
        if options.lockbox:
            locked, of_locked = read_corpus(options.lockbox, recipe, options.cache)
            features = np.concatenate([features, of_locked])
        print(f"{len(photos)} photographs, {len(locked)} in the lock-box", flush=True)
        for index in map(int, options.tasks.split(",")):
            task = replace(TASKS[index], class_weights=index in weighted)
            data = task_data(task, features, photos + locked)
            groups = [row["group"] for row in data.rows]
            names = sorted({group_name(photo) for photo in locked})
            fold = np.where(np.isin(groups, names), 0, -1) if locked else evaluation_folds(data, options)
            result = run_task(task, training, data, fold, part_widths(recipe))
            rows += [{"task": task.name, "recipe": name, "class_weights": task.class_weights, **row} for row in result]
            print(summary(task, name, result), flush=True)
            write_rows(options.out, rows)


def write_rows(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the results as CSV."""
    with file.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def group_name(photo: Photo) -> str:
    """Return the name of the photographer's group; one who did film and digital is one group."""
    return photo.photographer


def assign_folds(groups: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """Return the fold of each photograph; groups are assigned from the largest, each to the smallest fold."""
    names, sizes = np.unique(np.asarray(groups), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_sizes = np.zeros(folds)
    fold_by_group = {}
    for index in order:
        fold = int(fold_sizes.argmin())
        fold_by_group[names[index]] = fold
        fold_sizes[fold] += sizes[index]
    return np.asarray([fold_by_group[group] for group in groups])


def task_data(task: Task, features: np.ndarray, photos: Sequence[Photo]) -> TaskData:
    """Return the photographs with a label for the task."""
    labels = [task.label(photo) for photo in photos]
    indices = [n for n, label in enumerate(labels) if label != (None, None)]
    name, classes = task.target.name, task.target.classes
    rows = [
        {
            f"label_{name}": labels[n][0],
            f"stops_{name}": labels[n][1],
            "group": group_name(photos[n]),
        }
        for n in indices
    ]
    class_indices = [-1 if labels[n][0] is None else classes.index(str(labels[n][0])) for n in indices]
    stops = [np.nan if labels[n][1] is None else labels[n][1] for n in indices]
    return TaskData(
        torch.from_numpy(features[indices]).double(), rows, np.asarray(class_indices), np.asarray(stops, float)
    )


def fit_and_predict(
    task: Task, training: Probe, data: TaskData, parts: Parts, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Return class probabilities of the test photographs, by heads fitted to the training photographs."""
    inner_folds = assign_folds([data.rows[n]["group"] for n in train], 5, 1)
    splits = {"train": train[inner_folds > 0], "validation": train[inner_folds == 0]}
    standard, centre, scale = standardise({split: data.features[indices] for split, indices in splits.items()})
    rows = {split: [data.rows[n] for n in indices] for split, indices in splits.items()}
    head = fit_head(standard, rows, task.target, [task.target], training, parts)
    calibration = np.concatenate(list(splits.values())) if training.folds else splits["validation"]
    truth = data.classes[calibration]
    temperature = fit_temperature(head.logits.float().numpy()[truth >= 0], truth[truth >= 0])
    parameters = head.parameters if head.final is None else head.final
    logits = linear_logits(parameters, (data.features[test] - centre) / scale)
    return calibrated(logits.float().numpy(), temperature)


def evaluation_folds(data: TaskData, options: argparse.Namespace) -> np.ndarray:
    """Return the fold of each photograph; −1 for photographers without a photograph to evaluate, who only train."""
    groups = [row["group"] for row, index in zip(data.rows, data.classes, strict=True) if index >= 0]
    fold_by_group = dict(zip(groups, assign_folds(groups, options.folds, options.seed), strict=True))
    return np.asarray([fold_by_group.get(row["group"], -1) for row in data.rows])


def run_task(task: Task, training: Probe, data: TaskData, fold: np.ndarray, parts: Parts) -> list[dict[str, Any]]:
    """Return a row for each metric: its estimates by photographs and by photographers, and that of the median setting.

    Args:
        task: What to predict.
        training: Hyperparameters of the heads.
        data: Photographs of the task.
        fold: Fold in which each photograph is held out; −1 for never.
        parts: Widths of the parts of the features.
    """
    training = training.model_copy(update={"class_weights": task.class_weights})
    evaluated = np.flatnonzero((data.classes >= 0) & (fold >= 0))
    probabilities = np.zeros((len(data.rows), len(task.target.classes)))
    median = np.zeros(len(data.rows))
    numbers = np.unique(fold[fold >= 0])
    splits = [(np.flatnonzero(fold != number), evaluated[fold[evaluated] == number]) for number in numbers]
    with single_thread(), ThreadPoolExecutor() as pool:
        held_out = pool.map(lambda split: fit_and_predict(task, training, data, parts, *split), splits)
    for (train, test), values in zip(splits, held_out, strict=True):
        probabilities[test] = values
        median[test] = np.median(data.stops[train]) if task.target.ordinal else 0
    probabilities = probabilities[evaluated]
    predictions = ClassPredictions(
        data.classes[evaluated],
        probabilities.argmax(1),
        group_indices([data.rows[n]["group"] for n in evaluated]),
        probabilities.shape[1],
        probabilities,
    )
    sizes = np.bincount(predictions.groups)
    rows = _metric_rows(predictions, sizes)
    if task.target.ordinal:
        stops = data.stops[evaluated]
        distributions = [StopsDistribution(row, task.target.stops) for row in probabilities]
        middles = np.asarray([distribution.median() for distribution in distributions])
        errors = errors_in_stops(np.abs(middles - stops), np.abs(median[evaluated] - stops), predictions.groups)
        rows.append(stops_row(errors) | {"coverage_90": coverage(distributions, stops)})
    return [{"photographs": len(evaluated), "photographers": len(sizes), **row} for row in rows]


def _metric_rows(predictions: ClassPredictions, sizes: np.ndarray) -> list[dict[str, Any]]:
    """Return a row for each metric of classes: by photographs and by photographers."""
    by_photographer = group_intervals(lambda weights: predictions.metrics(weights / sizes), sizes, SCALES)
    return [
        {
            "metric": name,
            **estimate,
            **{f"by_photographer_{key}": value for key, value in by_photographer[name].items()},
        }
        for name, estimate in estimates(predictions).items()
    ]


def stops_row(errors: Mapping[str, Estimate]) -> dict[str, Any]:
    """Return the row of the errors that `errors_in_stops` returns."""
    columns = {"error": "", "by_photographer": "by_photographer_", "median": "median_", "gain": "gain_"}
    numbers = {f"{columns[name]}{key}": value for name, row in errors.items() for key, value in row.items()}
    return {"metric": "mae_stops", **numbers}


def errors_in_stops(errors: np.ndarray, of_median: np.ndarray, groups: np.ndarray) -> dict[str, Estimate]:
    """Return the mean error, by photographs and by photographers, that of the median setting, and the gain over it.

    Args:
        errors: Absolute errors in stops, shape (N,).
        of_median: Those of the median setting of the training photographs, shape (N,).
        groups: Index of each photographer, shape (N,).
    """
    sizes = np.bincount(groups)
    sums, medians = np.bincount(groups, errors), np.bincount(groups, of_median)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "error": weights @ sums / (weights @ sizes),
            "by_photographer": weights @ (sums / sizes) / weights.sum(-1),
            "median": weights @ medians / (weights @ sizes),
            "gain": 1 - weights @ sums / (weights @ medians),
        }

    scales: dict[str, Scale] = {"error": "amount", "by_photographer": "amount", "median": "amount", "gain": "number"}
    return group_intervals(metrics, sizes, scales)


def coverage(distributions: Sequence[StopsDistribution], stops: np.ndarray) -> float:
    """Return the share of photographs whose setting is in the 90 % interval of its prediction."""
    intervals = [distribution.central() for distribution in distributions]
    inside = [low <= value <= high for (low, high), value in zip(intervals, stops, strict=True)]
    return float(np.mean(inside))


def summary(task: Task, recipe: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return a line with the metric of a task by photographs and by photographers, its baseline and the ECE."""
    by_metric = {row["metric"]: row for row in rows}
    row, ece = by_metric[task.metric], by_metric["ece"]
    percent = task.metric == "balanced_accuracy"

    def text(prefix: str) -> str:
        estimate = Estimate(value=row[f"{prefix}value"], low=row[f"{prefix}low"], high=row[f"{prefix}high"])
        return format_estimate(estimate, percent=percent)

    baseline = f", median {text('median_')}, coverage {row['coverage_90']:.3f}" if task.target.ordinal else ""
    return (
        f"{task.name}: {recipe} {task.metric} {text('')}, by photographers {text('by_photographer_')}{baseline}; "
        f"ECE {ece['value']:.3f}; {row['photographs']} photographs, {row['photographers']} photographers"
    )


if __name__ == "__main__":
    main()
