"""Train the model that ships with Lightmeter on the corpus that ``benchmarks.gather`` writes.

    python -m benchmarks.default_model CORPUS [--lockbox] [--cache DIR] [--out models/default]

The heads are fitted to all photographs of ``CORPUS/development``; penalty, variance of the random intercepts and
temperature are selected by cross-validation over photographers, and the metrics of the folds come from the same
predictions. With ``--lockbox`` the finished model is evaluated on ``CORPUS/lockbox`` as well, which is done once for
each release. The folder gets the heads, the specification without the backbones, and the files of the run.
"""

import argparse
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from safetensors.torch import save as save_tensors

from benchmarks.corpus import compute_features, untrained_predictor, write_rows
from benchmarks.corpus_tasks import Label, Photo, focal_length, read_photos
from benchmarks.gather import LIST, read_list
from lightmeter.bootstrap import format_estimate, group_indices, group_intervals
from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.files import write_atomic
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.labels.targets.registry import get_target
from lightmeter.models import architectures
from lightmeter.models.evaluation.metrics.base import SCALES, estimates
from lightmeter.models.evaluation.metrics.calibration import fit_temperature
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.evaluation.report import write_history
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.input_warnings import image_statistics
from lightmeter.models.runtime.intervals import StopsDistribution
from lightmeter.models.runtime.predictor import calibrated
from lightmeter.models.runtime.spec import SPEC_FILE
from lightmeter.models.training.heads.probe import fit_head, standardise
from lightmeter.models.training.heads.softmax import linear_logits
from lightmeter.models.training.recipe import RECIPE_FILE, Probe, Recipe, model_spec, read_recipe
from lightmeter.models.training.runs import DEFAULT_RUN, write_metrics
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
    parser.add_argument("--lockbox", action="store_true", help="evaluate on the lock-box as well")
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"), help="folder of cached features")
    parser.add_argument("--out", type=Path, default=package_folder(), help="folder of the model")
    parser.add_argument("--table", type=Path, default=TABLE, help=f"CSV file of its metrics (default: {TABLE})")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    assert isinstance(recipe.training, Probe)
    photos = list(read_photos(options.corpus / "development"))
    features = compute_features(recipe, [photo.file for photo in photos], options.cache)
    readable = np.isfinite(features[:, 0])
    photos = [photo for photo, usable in zip(photos, readable, strict=True) if usable]
    rows = [_row(photo) for photo in photos]
    values, centre, scale = standardise({"train": torch.from_numpy(features[readable]).double()})
    empty = {"train": values["train"], "validation": values["train"][:0]}
    state = {"heads.centre": centre.float(), "heads.scale": scale.float()}
    metrics: dict[str, Any] = {"format": 1, "folds": {}, "training": {}}
    parameters: dict[str, torch.Tensor] = {}
    temperatures: dict[str, float] = {}
    history: list[dict[str, Any]] = []
    training = recipe.training
    with single_thread(), ThreadPoolExecutor() as pool:
        heads = pool.map(
            lambda target: fit_head(empty, {"train": rows, "validation": []}, target, [target], training), TARGETS
        )
        by_target = dict(zip((target.name for target in TARGETS), heads, strict=True))
    for target in TARGETS:
        head = by_target[target.name]
        assert head.final is not None  # the recipe uses folds
        parameters[target.name] = head.final
        name = f"heads.targets.{target.name}"
        state |= {f"{name}.weight": head.final[:, :-1].float(), f"{name}.bias": head.final[:, -1].float()}
        history += [{"target": target.name, **row} for row in head.history]
        classes = _classes(rows, target)
        logits = head.logits.float().numpy()
        temperatures[target.name] = fit_temperature(logits[classes >= 0], classes[classes >= 0])
        probabilities = calibrated(logits, temperatures[target.name])
        metrics["folds"][target.name] = evaluate(target, probabilities, rows, _median(rows, target))
        metrics["training"][target.name] = {
            **head.hyperparameters,
            "class_weights": recipe.training.weights_classes(target.name),
        }
        print(target.name, head.hyperparameters, summary(metrics["folds"][target.name]), flush=True)
    if options.lockbox:
        locked = list(read_photos(options.corpus / "lockbox"))
        of_locked = compute_features(recipe, [photo.file for photo in locked], options.cache)
        usable = np.isfinite(of_locked[:, 0])
        locked_rows = [_row(photo) for photo, keep in zip(locked, usable, strict=True) if keep]
        standard = (torch.from_numpy(of_locked[usable]).double() - centre) / scale
        metrics["lockbox"] = {}
        for target in TARGETS:
            logits = linear_logits(parameters[target.name], standard).float().numpy()
            probabilities = calibrated(logits, temperatures[target.name])
            metrics["lockbox"][target.name] = evaluate(target, probabilities, locked_rows, _median(rows, target))
            print("lock-box", target.name, summary(metrics["lockbox"][target.name]), flush=True)
    write_model_folder(options.out, recipe, state, temperatures, metrics, photos, history)
    write_rows(options.table, list(metric_rows(metrics)))


def metric_rows(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric of each target, on the folds and on the lock-box."""
    for where in ("folds", "lockbox"):
        for target, result in metrics.get(where, {}).items():
            for name, estimate in result["metrics"].items():
                extra = {"median": result["median_mae_stops"]} if name == "mae_stops" else {}
                extra["by_photographer"] = result["by_photographer"][name]
                yield {
                    "where": where,
                    "target": target,
                    "metric": name,
                    "photographs": result["photographs"],
                    "photographers": result["photographers"],
                    **estimate,
                    **{f"{prefix}_{key}": value for prefix, other in extra.items() for key, value in other.items()},
                    **({"in_90_percent_interval": result["interval_coverage"]} if name == "mae_stops" else {}),
                }


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


def _classes(rows: Sequence[dict[str, Any]], target: TargetSpec) -> np.ndarray:
    labels = [row[f"label_{target.name}"] for row in rows]
    return np.asarray([-1 if label is None else target.classes.index(label) for label in labels])


def _stops(rows: Sequence[dict[str, Any]], target: TargetSpec) -> np.ndarray:
    return np.asarray([row[f"stops_{target.name}"] for row in rows], float)


def _median(rows: Sequence[dict[str, Any]], target: TargetSpec) -> float:
    return float(np.nanmedian(_stops(rows, target))) if target.ordinal else 0.0


def evaluate(
    target: TargetSpec, probabilities: np.ndarray, rows: Sequence[dict[str, Any]], median: float
) -> dict[str, Any]:
    """Return the metrics of a target with intervals over photographers, and the error of the median setting."""
    classes = _classes(rows, target)
    labelled = np.flatnonzero(classes >= 0)
    probabilities, classes = probabilities[labelled], classes[labelled]
    predictions = ClassPredictions(
        classes,
        probabilities.argmax(1),
        group_indices([rows[int(n)]["group"] for n in labelled]),
        len(target.classes),
        probabilities,
    )
    extra: dict[str, Any] = {}
    if target.ordinal:
        stops = _stops(rows, target)[labelled]
        predictions = replace(predictions, true_stops=stops, predicted_stops=probabilities @ np.asarray(target.stops))
        constant = replace(predictions, probabilities=None, predicted_stops=np.full(len(stops), median))
        bounds = np.asarray([StopsDistribution(row, target.stops).central() for row in probabilities])
        extra = {
            "median_mae_stops": estimates(constant)["mae_stops"],
            "interval_coverage": float(((bounds[:, 0] <= stops) & (stops <= bounds[:, 1])).mean()),
        }
    sizes = np.bincount(predictions.groups)
    by_photographer = group_intervals(lambda weights: predictions.metrics(weights / sizes), sizes, SCALES)
    return {
        "photographs": len(labelled),
        "photographers": len(sizes),
        "metrics": estimates(predictions),
        "by_photographer": by_photographer,
        **extra,
    }


def summary(result: dict[str, Any]) -> str:
    """Return the main metrics of a target in one line."""
    metrics = result["metrics"]
    counts = f"{result['photographs']} photographs, {result['photographers']} photographers"
    text = f"ECE {metrics['ece']['value']:.3f}, {counts}"
    if "mae_stops" in metrics:
        gain = 1 - metrics["mae_stops"]["value"] / result["median_mae_stops"]["value"]
        error = format_estimate(metrics["mae_stops"], percent=False)
        coverage = f"coverage {result['interval_coverage']:.3f}"
        return f"MAE {error}, {100 * gain:.0f} % less than the median's, {coverage}, {text}"
    accuracy, f1 = format_estimate(metrics["balanced_accuracy"]), format_estimate(metrics["macro_f1"], percent=False)
    return f"balanced accuracy {accuracy}, macro F1 {f1}, {text}"


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
    loader = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, autoescape=False)
    card = template.get_template("default_model.md.jinja").render(
        spec=spec, metrics=metrics, format_estimate=format_estimate, targets=TARGETS
    )
    write_atomic(folder / "README.md", card)
    print(json.dumps({file.name: file.stat().st_size for file in sorted(folder.iterdir())}))


def _ranges(recipe: Recipe, photos: Sequence[Photo]) -> dict[str, tuple[float, float]]:
    """Return the range of each image statistic, of a part of the photographs."""
    predictor = untrained_predictor(recipe)
    part = photos[:: -(-len(photos) // _RANGE_PHOTOGRAPHS)]
    return statistics_ranges([image_statistics(predictor.preprocess(photo.file.read_bytes())) for photo in part])


if __name__ == "__main__":
    main()
