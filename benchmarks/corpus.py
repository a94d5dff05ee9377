"""Cross-validate recipes on a folder of real photographs; no photographer is in two folds.

    python -m benchmarks.corpus CORPUS [--recipes patches,lightmeter] [--folds 5] [--seed 0] [--cache DIR]
        [--out results.json]

CORPUS contains ``digital/PHOTOGRAPHER/…`` and ``film/PHOTOGRAPHER/…``. For each task and fold the heads are fitted to
the photographers of the other folds as by ``lightmeter models train``, with a fifth of them for validation; metrics are
computed over all folds together. Photographs with a setting between the classes are used for training if the recipe
supports it, and never for evaluation. The features of a frozen backbone do not depend on the fold; they are computed
once and cached in DIR.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.corpus_tasks import TASKS, Photo, Task, read_photos
from lightmeter.bootstrap import format_estimate, group_indices
from lightmeter.models import architectures
from lightmeter.models.evaluation.metrics.base import estimates
from lightmeter.models.evaluation.metrics.calibration import fit_temperature
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.predictor import Predictor, calibrated
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training.heads.probe import fit_head, standardise
from lightmeter.models.training.heads.softmax import linear_logits
from lightmeter.models.training.pretrained import load_backbones
from lightmeter.models.training.recipe import Probe, Recipe, read_recipe

_PROGRESS_INTERVAL = 200


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
    parser.add_argument("corpus", type=Path, help="folder of photographs")
    parser.add_argument("--recipes", default="patches,lightmeter", help="recipes, separated by commas")
    parser.add_argument("--folds", type=int, default=5, help="number of folds (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the fold assignment of photographers")
    parser.add_argument(
        "--tasks",
        default=",".join(str(index) for index in range(len(TASKS))),
        help="indices of tasks, separated by commas (default: all)",
    )
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"), help="folder of cached features")
    parser.add_argument("--out", type=Path, default=Path("corpus-results.json"), help="JSON file of results")
    options = parser.parse_args()
    photos = list(read_photos(options.corpus))
    print(f"{len(photos)} photographs")
    results: dict[str, Any] = {}
    for name in options.recipes.split(","):
        recipe = read_recipe(name)
        features = compute_features(recipe, [photo.file for photo in photos], options.cache)
        for task in (TASKS[int(index)] for index in options.tasks.split(",")):
            result = run_task(task, recipe.training, features, photos, options.folds, options.seed)
            results.setdefault(task.name, {})[name] = result
            print(summary(task, name, result), flush=True)
            options.out.write_text(json.dumps(results, indent=1))


def untrained_predictor(recipe: Recipe) -> Predictor:
    """Return a predictor with the backbone weights of a recipe."""
    target = Target("any", ("a", "b"))
    spec = ModelSpec(
        "corpus",
        "1.0",
        "",
        recipe.name,
        recipe.architecture,
        recipe.preprocessing,
        (target,),
        recipe.architecture_options,
    )
    network = architectures.build(spec)
    load_backbones(network, recipe)
    return Predictor(spec, network)


def compute_features(recipe: Recipe, files: Sequence[Path], cache: Path) -> np.ndarray:
    """Return the features of every photograph, shape (N, F), with a row of NaN for an unreadable photograph."""
    cached = cache / f"{recipe.name}-{len(files)}.npy"
    if cached.is_file():
        return np.load(cached)
    predictor = untrained_predictor(recipe)

    def features_of(file: Path) -> np.ndarray | None:
        try:
            inputs = predictor.tensors(predictor.preprocess(file.read_bytes()))
        except InvalidPhoto:
            return None
        with torch.inference_mode():
            return predictor.network.features(inputs)[0].numpy()

    rows = []
    with single_thread(), ThreadPoolExecutor() as pool:
        for index, row in enumerate(pool.map(features_of, files)):
            rows.append(row)
            if index % _PROGRESS_INTERVAL == 0:
                print(f"{recipe.name}: {index} of {len(files)}", flush=True)
    width = next(len(row) for row in rows if row is not None)
    features = np.stack([np.full(width, np.nan, np.float32) if row is None else row for row in rows])
    cache.mkdir(parents=True, exist_ok=True)
    np.save(cached, features)
    return features


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
    """Return the readable photographs with a label for the task."""
    labels = [task.label(photo) for photo in photos]
    indices = [n for n, label in enumerate(labels) if label != (None, None) and np.isfinite(features[n, 0])]
    name, classes = task.target.name, task.target.classes
    rows = [
        {
            f"label_{name}": labels[n][0],
            f"stops_{name}": labels[n][1],
            "group": f"{photos[n].medium} {photos[n].photographer}",
        }
        for n in indices
    ]
    class_indices = [-1 if labels[n][0] is None else classes.index(str(labels[n][0])) for n in indices]
    stops = [np.nan if labels[n][1] is None else labels[n][1] for n in indices]
    return TaskData(
        torch.from_numpy(features[indices]).double(), rows, np.asarray(class_indices), np.asarray(stops, float)
    )


def fit_and_predict(task: Task, training: Probe, data: TaskData, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return class probabilities of the test photographs, by heads fitted to the training photographs."""
    inner_folds = assign_folds([data.rows[n]["group"] for n in train], 5, 1)
    splits = {"train": train[inner_folds > 0], "validation": train[inner_folds == 0]}
    standard, centre, scale = standardise({split: data.features[indices] for split, indices in splits.items()})
    rows = {split: [data.rows[n] for n in indices] for split, indices in splits.items()}
    head = fit_head(standard, rows, task.target, [task.target], training)
    calibration = np.concatenate(list(splits.values())) if training.folds else splits["validation"]
    truth = data.classes[calibration]
    temperature = fit_temperature(head.logits.float().numpy()[truth >= 0], truth[truth >= 0])
    parameters = head.parameters if head.final is None else head.final
    logits = linear_logits(parameters, (data.features[test] - centre) / scale)
    return calibrated(logits.float().numpy(), temperature)


def run_task(
    task: Task, training: Probe, features: np.ndarray, photos: Sequence[Photo], folds: int, seed: int
) -> dict[str, Any]:
    """Return the metrics over all folds, and for ordinal tasks those of the median setting."""
    training = training.model_copy(update={"class_weights": task.class_weights})
    data = task_data(task, features, photos)
    evaluated = np.flatnonzero(data.classes >= 0)
    groups = [data.rows[n]["group"] for n in evaluated]
    fold_by_group = dict(zip(groups, assign_folds(groups, folds, seed), strict=True))
    fold = np.asarray([fold_by_group.get(row["group"], -1) for row in data.rows])
    probabilities = np.zeros((len(data.rows), len(task.target.classes)))
    median = np.zeros(len(data.rows))
    for index in range(folds):
        train, test = np.flatnonzero(fold != index), evaluated[fold[evaluated] == index]
        probabilities[test] = fit_and_predict(task, training, data, train, test)
        median[test] = np.median(data.stops[train]) if task.target.ordinal else 0
    probabilities = probabilities[evaluated]
    predictions = ClassPredictions(
        data.classes[evaluated],
        probabilities.argmax(1),
        group_indices(groups),
        probabilities.shape[1],
        confidence=probabilities.max(1),
    )
    if task.target.ordinal:
        expected = probabilities @ np.asarray(task.target.stops)
        predictions = replace(predictions, true_stops=data.stops[evaluated], predicted_stops=expected)
    result = {"photographs": len(evaluated), "groups": len(set(groups)), **estimates(predictions)}
    if task.target.ordinal:
        baseline = replace(predictions, confidence=None, predicted_stops=median[evaluated])
        result["median_mae_stops"] = estimates(baseline)["mae_stops"]
    return result


def summary(task: Task, recipe: str, result: dict[str, Any]) -> str:
    """Return a line with the metric of a task, its baseline and the calibration error."""
    metric = format_estimate(result[task.metric], percent=task.metric == "balanced_accuracy")
    baseline = ""
    if task.target.ordinal:
        baseline = f", median {format_estimate(result['median_mae_stops'], percent=False)}"
    ece = format_estimate(result["ece"], percent=False)
    counts = f"{result['photographs']} photographs, {result['groups']} photographers"
    return f"{task.name}: {recipe} {task.metric} {metric}{baseline}; ECE {ece}; {counts}"


if __name__ == "__main__":
    main()
