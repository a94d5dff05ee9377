"""Recipes on a folder of real photographs, by cross-validation in which no photographer is on two sides.

    python benchmarks/corpus.py CORPUS [--recipes patches,lightmeter] [--folds 5] [--cache DIR] [--out results.json]

CORPUS holds ``digital/PHOTOGRAPHER/…`` and ``film/PHOTOGRAPHER/…``. For each task and fold the heads are fitted on the
other photographers, of whom a fifth choose penalty and temperature; figures are over all folds together. The features
of a frozen trunk do not depend on the fold and are computed once (kept in DIR).
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harvest.exif import Privacy, read_exif
from labels.dataset import TargetSpec
from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from models import architectures
from models.metrics import Answers, temperature
from models.predictor import Predictor, calibrated, one_thread
from models.preprocess import PhotographError
from models.pretrained import load_trunk
from models.recipe import Probe, Recipe, read_recipe
from models.regression import HeadTask, choose_head, cross_validated, fit_head, head_logits, head_task
from models.resampling import figures, group_numbers, told
from models.spec import ModelSpec, Target

PHONES = (
    *("apple", "google", "hmd", "honor", "htc", "huawei", "lg", "motorola", "nokia", "oneplus", "oppo", "realme"),
    *("samsung", "vivo", "xiaomi"),
)


@dataclass(frozen=True)
class Shot:
    """A photograph, who took it, and how."""

    file: Path
    medium: str
    photographer: str
    make: str
    f_number: float | None
    exposure_time_s: float | None
    iso: float | None
    focal_length_35mm: float | None

    @property
    def digital(self) -> bool:
        return self.medium == "digital"

    @property
    def phone(self) -> bool:
        return self.make.lower().startswith(PHONES)


@dataclass(frozen=True)
class Task:
    """What is asked: a target, and the figure that counts."""

    name: str
    target: TargetSpec
    figure: str
    class_weights: bool = True

    def label(self, shot: Shot) -> tuple[str | None, float | None]:
        """Return a photograph's class and its number in stops, or None where the task does not concern it."""
        return LABELS[self.name](shot)


def two(value: float | None, low: float, high: float, names: tuple[str, str]) -> str | None:
    """Return the first name at or under one bound, the second at or over the other."""
    if value is None or low < value < high:
        return None
    return names[0] if value <= low else names[1]


def nearest(value: float, stops: Sequence[float], names: Sequence[str]) -> str:
    return names[int(np.abs(np.asarray(stops) - value).argmin())]


def scale(low: int, high: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    return tuple(f"{number:+d}" for number in range(low, high + 1)), tuple(float(n) for n in range(low, high + 1))


AV, SV, TV = scale(1, 8), scale(-1, 7), scale(-12, 1)


def graded(value: float | None, classes: Any, convert: Any) -> tuple[str | None, float | None]:
    if not value:
        return None, None
    stops = convert(value)
    return nearest(stops, classes[1], classes[0]), stops


LABELS: dict[str, Any] = {
    "shutter": lambda s: (two(s.exposure_time_s, 1 / 495, 1 / 30.5, ("fast", "slow")) if s.digital else None, None),
    "iso": lambda s: (two(s.iso, 200, 800, ("low", "high")) if s.digital else None, None),
    "iso 100/800": lambda s: ({100: "low", 800: "high"}.get(s.iso) if s.digital else None, None),
    "aperture": lambda s: (
        two(s.f_number, 2.85, 7.9, ("open", "closed")) if s.digital and not s.phone else None,
        None,
    ),
    "focal length": lambda s: (
        None
        if not s.focal_length_35mm or not s.digital
        else ("wide", "normal", "long")[int(np.digitize(s.focal_length_35mm, (28.5, 60.5)))],
        None,
    ),
    "medium": lambda s: (s.medium, None),
    "aperture, stops": lambda s: graded(s.f_number if s.digital else None, AV, aperture_stops),
    "iso, stops": lambda s: graded(s.iso if s.digital else None, SV, iso_stops),
    "shutter, stops": lambda s: graded(s.exposure_time_s if s.digital else None, TV, shutter_stops),
}

TASKS = [
    Task("shutter", TargetSpec("shutter", "1", ("fast", "slow")), "balanced_accuracy"),
    Task("iso", TargetSpec("iso", "1", ("low", "high")), "balanced_accuracy"),
    Task("iso 100/800", TargetSpec("iso", "1", ("low", "high")), "balanced_accuracy"),
    Task("aperture", TargetSpec("aperture", "1", ("open", "closed")), "balanced_accuracy"),
    Task("focal length", TargetSpec("focal_length", "1", ("wide", "normal", "long")), "macro_f1"),
    Task("medium", TargetSpec("medium", "1", ("digital", "film")), "balanced_accuracy"),
    Task("aperture, stops", TargetSpec("aperture", "1", *AV, "Av"), "error_stops", class_weights=False),
    Task("iso, stops", TargetSpec("iso", "1", *SV, "stops"), "error_stops", class_weights=False),
    Task("shutter, stops", TargetSpec("shutter", "1", *TV, "log2 s"), "error_stops", class_weights=False),
]


def shots(corpus: Path) -> Iterator[Shot]:
    for file in sorted(corpus.glob("*/*/**/*")):
        if not file.is_file():
            continue
        medium, photographer = file.relative_to(corpus).parts[:2]
        if medium not in ("digital", "film"):
            continue
        values = read_exif(file.read_bytes(), keep=Privacy()).values
        yield Shot(
            file, medium, photographer, (values.make or "").strip(), values.f_number, values.exposure_time_s,
            values.iso, values.focal_length_35mm,
        )  # fmt: skip


def network(recipe: Recipe) -> Predictor:
    spec = ModelSpec(
        "corpus", "1.0", "", recipe.name, recipe.architecture, recipe.cut, (Target("any", ("a", "b")),),
        recipe.architecture_options,
    )  # fmt: skip
    built = architectures.build(spec)
    load_trunk(built, recipe.weights)
    return Predictor(spec, built)


def features(recipe: Recipe, files: Sequence[Path], cache: Path) -> np.ndarray:
    """Return the features of every photograph, shape (N, F); a row of NaN for one that cannot be read."""
    kept = cache / f"{recipe.name}-{len(files)}.npy"
    if kept.is_file():
        return np.load(kept)
    predictor = network(recipe)

    def one(file: Path) -> np.ndarray | None:
        try:
            inputs = predictor.tensors(predictor.read(file.read_bytes()))
        except PhotographError:
            return None
        with torch.inference_mode():
            return predictor.network.features(inputs)[0].numpy()

    found = []
    with one_thread(), ThreadPoolExecutor() as pool:
        for number, values in enumerate(pool.map(one, files)):
            found.append(values)
            if number % 200 == 0:
                print(f"{recipe.name}: {number} of {len(files)}", flush=True)
    width = next(len(values) for values in found if values is not None)
    table = np.stack([np.full(width, np.nan, np.float32) if values is None else values for values in found])
    cache.mkdir(parents=True, exist_ok=True)
    np.save(kept, table)
    return table


def dealt(groups: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """Return a fold for each photograph: whole groups, largest first, each to the smallest fold."""
    names, sizes = np.unique(np.asarray(groups), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(folds)
    fold_of = {}
    for index in order:
        fold = int(filled.argmin())
        fold_of[names[index]] = fold
        filled[fold] += sizes[index]
    return np.asarray([fold_of[group] for group in groups])


def fitted(
    training: Probe, asked: Callable[[np.ndarray], HeadTask], rest: np.ndarray, inner: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Return a head's parameters, the logits to calibrate by, and of which photographs they are."""
    if training.folds:
        both = asked(rest)
        penalty, answers, _ = cross_validated(both, training.penalties, training.folds)
        return fit_head(both, training.penalties, penalty), answers, rest
    validation = asked(rest[inner == 0])
    parameters, _, _ = choose_head(asked(rest[inner > 0]), validation, training.penalties)
    return parameters, head_logits(parameters, validation.features), rest[inner == 0]


def run_task(task: Task, training: Probe, table: np.ndarray, photographs: Sequence[Shot], folds: int) -> dict[str, Any]:
    """Return figures over all folds, and those of always saying the median where there are stops."""
    labels = [task.label(shot) for shot in photographs]
    chosen = [n for n, (name, _) in enumerate(labels) if name is not None and np.isfinite(table[n, 0])]
    groups = [f"{photographs[n].medium} {photographs[n].photographer}" for n in chosen]
    training = training.model_copy(update={"class_weights": task.class_weights})
    rows = [
        {"label_" + task.target.name: labels[n][0], "stops_" + task.target.name: labels[n][1], "group": group}
        for n, group in zip(chosen, groups, strict=True)
    ]
    truth = np.asarray([task.target.classes.index(labels[n][0]) for n in chosen])
    stops = np.asarray([np.nan if labels[n][1] is None else labels[n][1] for n in chosen], float)
    shares = np.zeros((len(chosen), len(task.target.classes)))
    median = np.zeros(len(chosen))
    outer = dealt(groups, folds, 0)
    for fold in range(folds):
        inner = dealt([groups[n] for n in np.flatnonzero(outer != fold)], 5, 1)
        rest, test = np.flatnonzero(outer != fold), np.flatnonzero(outer == fold)
        seen = torch.from_numpy(table[[chosen[n] for n in rest[inner > 0]]]).double()
        centre, spread = seen.mean(0), seen.std(0).clamp(min=1e-6)

        def standard(places: np.ndarray, centre: Any = centre, spread: Any = spread) -> Any:
            return (torch.from_numpy(table[[chosen[n] for n in places]]).double() - centre) / spread

        def asked(places: np.ndarray, standard: Any = standard) -> HeadTask:
            return head_task(standard(places), [rows[n] for n in places], task.target, training)

        parameters, answers, known = fitted(training, asked, rest, inner)
        warm = temperature(answers.float().numpy(), truth[known])
        shares[test] = calibrated(head_logits(parameters, standard(test)).float().numpy(), warm)
        median[test] = np.median(stops[rest]) if task.target.ordinal else 0
    error = np.abs(shares @ np.asarray(task.target.stops) - stops) if task.target.ordinal else None
    answers = Answers(truth, shares.argmax(1), group_numbers(groups), shares.shape[1], shares.max(1), None, error)
    result = {"photographs": len(chosen), "groups": len(set(groups)), **figures(answers)}
    if task.target.ordinal:
        constant = replace(answers, confidence=None, error_stops=np.abs(median - stops))
        result["median_error_stops"] = figures(constant)["error_stops"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--recipes", default="patches,lightmeter")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--tasks", default=",".join(str(n) for n in range(len(TASKS))))
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"))
    parser.add_argument("--out", type=Path, default=Path("corpus-results.json"))
    chosen = parser.parse_args()
    photographs = list(shots(chosen.corpus))
    print(f"{len(photographs)} photographs")
    results: dict[str, Any] = {}
    for name in chosen.recipes.split(","):
        recipe = read_recipe(name)
        table = features(recipe, [shot.file for shot in photographs], chosen.cache)
        for task in (TASKS[int(number)] for number in chosen.tasks.split(",")):
            found = run_task(task, recipe.training, table, photographs, chosen.folds)
            results.setdefault(task.name, {})[name] = found
            value = told(found[task.figure], percent=task.figure == "balanced_accuracy")
            base = f", median {told(found['median_error_stops'], percent=False)}" if task.target.ordinal else ""
            print(f"{task.name}: {name} {task.figure} {value}{base}; ECE {told(found['ece'], percent=False)}; "
                  f"{found['photographs']} photographs, {found['groups']} photographers", flush=True)  # fmt: skip
            chosen.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
