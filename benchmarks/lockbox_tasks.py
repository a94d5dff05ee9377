"""Evaluate the model that ships on the tasks in two classes, on the photographers of the lock-box.

    python -m benchmarks.lockbox_tasks CORPUS/lockbox [--model FOLDER] [--cache DIR] [--out docs/results/tasks.csv]

The model gives a distribution over stops. A photograph is assigned to the range of settings, below or above, whose
probability is greater in proportion to the share of this range among the development photographs.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.corpus import write_rows
from benchmarks.corpus_features import read_corpus
from benchmarks.corpus_tasks import TASKS, Photo, Task
from benchmarks.gather import read_list
from lightmeter.bootstrap import group_indices, group_intervals
from lightmeter.exposure import setting_from_stops
from lightmeter.models.evaluation.metrics.base import SCALES
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.runtime.predictor import calibrated
from lightmeter.models.runtime.spec import Target, read_spec
from lightmeter.models.training.recipe import read_recipe
from lightmeter.models.training.shipped import HEADS_FILE, package_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of photographs")
    parser.add_argument("--model", type=Path, default=package_folder(), help="folder of the model")
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"), help="folder of cached features")
    parser.add_argument("--out", type=Path, default=Path("docs/results/tasks.csv"), help="CSV file of results")
    options = parser.parse_args()
    photos, features = read_corpus(options.corpus, read_recipe("lightmeter"), options.cache)
    spec, state = read_spec(options.model), load_file(options.model / HEADS_FILE)
    standard = (torch.from_numpy(features) - state["heads.centre"]) / state["heads.scale"]
    rows = []
    for task in TASKS[:4]:
        target = next(target for target in spec.targets if target.name == task.target.name)
        name = f"heads.targets.{target.name}"
        logits = (standard @ state[f"{name}.weight"].T + state[f"{name}.bias"]).numpy()
        rows += evaluate(task, target, calibrated(logits, target.temperature), photos)
    write_rows(options.out, rows)
    for row in rows:
        print(*row.values(), sep=", ")


def evaluate(task: Task, target: Target, probabilities: np.ndarray, photos: list[Photo]) -> list[dict[str, Any]]:
    """Return the balanced accuracy of a task, by photographs and by photographers."""
    development = Counter(task.label(photo)[0] for photo in map(_listed, _development()))
    ranges = [
        [n for n, stops in enumerate(target.stops) if _class_of(task, target, stops) == name]
        for name in task.target.classes
    ]
    scores = np.column_stack([probabilities[:, members].sum(1) for members in ranges])
    scores /= np.asarray([development[name] for name in task.target.classes])
    labelled = [n for n, photo in enumerate(photos) if task.label(photo)[0]]
    truth = np.asarray([task.target.classes.index(str(task.label(photos[n])[0])) for n in labelled])
    groups = group_indices([photos[n].photographer for n in labelled])
    predictions = ClassPredictions(truth, scores[labelled].argmax(1), groups, 2, None)
    sizes = np.bincount(groups)
    by_photograph = group_intervals(predictions.metrics, sizes, SCALES)["balanced_accuracy"]
    each = group_intervals(lambda weights: predictions.metrics(weights / sizes), sizes, SCALES)["balanced_accuracy"]
    row = {"task": task.name, "photographs": len(labelled), "photographers": len(sizes), **by_photograph}
    return [row | {f"by_photographer_{key}": value for key, value in each.items()}]


def _class_of(task: Task, target: Target, stops: float) -> str | None:
    """Return the class of a task to which a setting belongs; None between them."""
    value = setting_from_stops(stops, target.unit)
    numbers = {"aperture": (value, 0, 0), "shutter": (0, value, 0), "iso": (0, 0, value)}[target.name]
    label = (TASKS[1] if task.name == "iso 100/800" else task).label(Photo(Path(), "digital", "", "", *numbers, None))
    return label[0]


def _development() -> list[dict[str, str]]:
    return [row for row in read_list() if row["split"] == "development"]


def _listed(row: dict[str, str]) -> Photo:
    numbers = [float(row[name] or 0) for name in ("f_number", "exposure_time_s", "iso", "focal_length_35mm")]
    f_number, exposure_time_s, iso, focal_length_35mm = numbers
    return Photo(
        Path(), row["medium"], row["photographer"], row["make"], f_number, exposure_time_s, iso, focal_length_35mm
    )


if __name__ == "__main__":
    main()
