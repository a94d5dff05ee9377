"""Train the model that ships with Lightmeter on the corpus that ``benchmarks.gather`` writes.

    python -m benchmarks.default_model CORPUS [--lockbox] [--cache DIR] [--out models/default]

The heads are fitted to all photographs of ``CORPUS/development``; penalty, variance of the random intercepts and
temperature are selected by cross-validation over photographers, and the metrics of the folds come from the same
predictions. The folder gets the heads, the specification without the backbones, and the files of the run. With
``--lockbox`` nothing is fitted: the finished model in the folder is evaluated on ``CORPUS/lockbox``, which is done once
for each release.
"""

import argparse
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

from benchmarks.corpus_features import part_widths, read_corpus, untrained_predictor
from benchmarks.corpus_tasks import Label, Photo, focal_length
from benchmarks.default_model_results import classes_of, evaluate, median_of, summary, write_results
from benchmarks.gather import LIST, read_list
from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.files import write_atomic
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.labels.targets.registry import get_target
from lightmeter.models import architectures
from lightmeter.models.evaluation.metrics.calibration import fit_temperature
from lightmeter.models.evaluation.report import write_history
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.input_warnings import image_statistics
from lightmeter.models.runtime.predictor import calibrated
from lightmeter.models.runtime.spec import SPEC_FILE, read_spec
from lightmeter.models.training.heads.probe import fit_head, standardise
from lightmeter.models.training.methods import Probe
from lightmeter.models.training.recipe import RECIPE_FILE, Recipe, model_spec, read_recipe
from lightmeter.models.training.runs import DEFAULT_RUN, read_metrics, write_metrics
from lightmeter.models.training.shipped import HEADS_FILE, package_folder
from lightmeter.models.training.train import statistics_ranges

TABLE = Path("docs/results/default-model.csv")
_RANGE_PHOTOGRAPHS = 400
_FOCAL_LENGTHS = (14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448)  # millimetres, half an octave apart


def _settings_target(name: str, **changes: Any) -> TargetSpec:
    target = get_target(name)
    return TargetSpec(name, target.definition.version, target.classes, target.stops, target.unit, **changes)


TARGETS = (
    _settings_target("aperture"),
    _settings_target("shutter"),
    _settings_target("iso"),
    TargetSpec("focal-length", "1", ("wide", "normal", "long")),
    TargetSpec(
        "focal-length-35mm",
        "1",
        tuple(f"{length} mm" for length in _FOCAL_LENGTHS),
        tuple(float(np.log2(length)) for length in _FOCAL_LENGTHS),
        "log2 mm",
    ),
    TargetSpec("medium", "1", ("digital", "film")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of photographs")
    parser.add_argument("--recipe", default="lightmeter", help="recipe (default: lightmeter)")
    parser.add_argument("--lockbox", action="store_true", help="evaluate the finished model on the lock-box")
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"), help="folder of cached features")
    parser.add_argument("--out", type=Path, default=package_folder(), help="folder of the model")
    parser.add_argument("--table", type=Path, default=TABLE, help=f"CSV file of its metrics (default: {TABLE})")
    options = parser.parse_args()
    (open_lockbox if options.lockbox else fit)(options)
    write_results(options.out, TARGETS, options.table)


def fit(options: argparse.Namespace) -> None:
    """Fit the heads to the development photographs and write the folder of the model, with the metrics of the folds."""
    recipe = read_recipe(options.recipe)
    assert isinstance(recipe.training, Probe)
    photos, features = read_corpus(options.corpus / "development", recipe, options.cache)
    rows = [_row(photo) for photo in photos]
    values, centre, scale = standardise({"train": torch.from_numpy(features).double()})
    empty = {"train": values["train"], "validation": values["train"][:0]}
    state = {"heads.centre": centre.float(), "heads.scale": scale.float()}
    metrics: dict[str, Any] = {"format": 1, "folds": {}, "training": {}}
    temperatures: dict[str, float] = {}
    history: list[dict[str, Any]] = []
    training, parts = recipe.training, part_widths(recipe)
    with single_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        heads = pool.map(
            lambda target: fit_head(empty, {"train": rows, "validation": []}, target, [target], training, parts),
            TARGETS,
        )
        by_target = dict(zip((target.name for target in TARGETS), heads, strict=True))
    for target in TARGETS:
        head = by_target[target.name]
        assert head.final is not None  # the recipe uses folds
        name = f"heads.targets.{target.name}"
        state |= {f"{name}.weight": head.final[:, :-1].float(), f"{name}.bias": head.final[:, -1].float()}
        history += [{"target": target.name, **row} for row in head.history]
        classes = classes_of(rows, target)
        logits = head.logits.float().numpy()
        temperatures[target.name] = fit_temperature(logits[classes >= 0], classes[classes >= 0])
        probabilities = calibrated(logits, temperatures[target.name])
        metrics["folds"][target.name] = evaluate(target, probabilities, rows, median_of(rows, target))
        metrics["training"][target.name] = {
            **head.hyperparameters,
            "class_weights": recipe.training.weights_classes(target.name),
            "median_stops": median_of(rows, target),
        }
        print(target.name, head.hyperparameters, summary(metrics["folds"][target.name]), flush=True)
    write_model_folder(options.out, recipe, state, temperatures, metrics, photos, history)


def open_lockbox(options: argparse.Namespace) -> None:
    """Evaluate the finished model on the photographers of the lock-box."""
    recipe, spec = read_recipe(options.recipe), read_spec(options.out)
    state, metrics = load_file(options.out / HEADS_FILE), read_metrics(options.out)
    photos, features = read_corpus(options.corpus / "lockbox", recipe, options.cache)
    standard = (torch.from_numpy(features) - state["heads.centre"]) / state["heads.scale"]
    rows = [_row(photo) for photo in photos]
    metrics["lockbox"] = {}
    for target, trained in zip(TARGETS, spec.targets, strict=True):
        name = f"heads.targets.{target.name}"
        logits = (standard @ state[f"{name}.weight"].T + state[f"{name}.bias"]).numpy()
        median = metrics["training"][target.name]["median_stops"]
        metrics["lockbox"][target.name] = evaluate(target, calibrated(logits, trained.temperature), rows, median)
        print("lock-box", target.name, summary(metrics["lockbox"][target.name]), flush=True)
    write_metrics(options.out, metrics)


def _row(photo: Photo) -> dict[str, Any]:
    """Return the manifest row of a photograph with its labels."""
    labels: dict[str, Label] = {"medium": (photo.medium, None)}
    if photo.digital:
        labels |= {
            "aperture": _nearest(TARGETS[0], photo.f_number, aperture_stops),
            "shutter": _nearest(TARGETS[1], photo.exposure_time_s, shutter_stops),
            "iso": _nearest(TARGETS[2], photo.iso, iso_stops),
            "focal-length": focal_length(photo),
            "focal-length-35mm": _nearest(TARGETS[4], photo.focal_length_35mm, math.log2),
        }
    row: dict[str, Any] = {"group": photo.photographer}
    for target in TARGETS:
        row[f"label_{target.name}"], row[f"stops_{target.name}"] = labels.get(target.name, (None, None))
    return row


def _nearest(target: TargetSpec, value: float | None, to_stops: Callable[[float], float]) -> Label:
    """Return the nearest class and the stops of a setting."""
    if not value:
        return None, None
    stops = to_stops(value)
    return target.classes[int(np.abs(np.asarray(target.stops) - stops).argmin())], stops


def write_model_folder(
    folder: Path,
    recipe: Recipe,
    state: dict[str, torch.Tensor],
    temperatures: dict[str, float],
    metrics: dict[str, Any],
    photos: Sequence[Photo],
    history: Sequence[dict[str, Any]],
) -> None:
    """Write the heads, the specification and the files of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    development = [row for row in read_list() if row["split"] == "development"]
    repositories = Counter((row["repository"], row["medium"]) for row in development)
    data = {"name": "corpus", "manifest_sha256": hashlib.sha256(LIST.read_bytes()).hexdigest()}
    spec = model_spec(recipe, DEFAULT_RUN, TARGETS, data)
    spec = replace(
        spec,
        targets=tuple(replace(target, temperature=temperatures[target.name]) for target in spec.targets),
        training={"photographs": len(photos), "photographers": len({photo.photographer for photo in photos})},
        ranges=_ranges(recipe, photos),
    )
    architectures.build(spec).load_state_dict(state, strict=False)
    write_atomic(folder / HEADS_FILE, save_tensors(state))
    write_atomic(folder / SPEC_FILE, tomli_w.dumps(spec.as_dict()))
    settings = tomli_w.dumps(recipe.model_dump(mode="json"))
    write_atomic(folder / RECIPE_FILE, f"# Every setting of the recipe; repeat it with: make default-model\n{settings}")
    write_metrics(folder, metrics)
    write_history(folder, history)
    lines = [f"{name},{medium},{count}\n" for (name, medium), count in sorted(repositories.items())]
    write_atomic(folder / "repositories.csv", "".join(["repository,medium,photographs\n", *lines]))
    print(json.dumps({file.name: file.stat().st_size for file in sorted(folder.iterdir())}))


def _ranges(recipe: Recipe, photos: Sequence[Photo]) -> dict[str, tuple[float, float]]:
    """Return the range of each image statistic, of a part of the photographs."""
    predictor = untrained_predictor(recipe)
    part = photos[:: -(-len(photos) // _RANGE_PHOTOGRAPHS)]
    return statistics_ranges([image_statistics(predictor.preprocess(photo.file.read_bytes())) for photo in part])


if __name__ == "__main__":
    main()
