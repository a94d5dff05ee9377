"""Recipes on a folder of real photographs, by cross-validation in which no photographer is on two sides.

    python benchmarks/corpus.py CORPUS [--recipes patches,lightmeter] [--folds 5] [--seed 0] [--cache DIR]
        [--out results.json]

CORPUS holds ``digital/PHOTOGRAPHER/…`` and ``film/PHOTOGRAPHER/…``. For each task and fold the heads are fitted on the
other photographers as ``lightmeter models train`` does it, a fifth of them for validation; figures are over all folds
together. Photographs whose setting lies between the classes are trained on where the recipe can, and never scored. The
features of a frozen trunk do not depend on the fold and are computed once (kept in DIR).
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

from benchmarks.corpus_tasks import TASKS, Shot, Task, shots
from lightmeter.bootstrap import bootstrap, format_estimate, group_numbers
from lightmeter.models import architectures
from lightmeter.models.evaluation.metrics.classification import ClassPredictions, fit_temperature
from lightmeter.models.runtime.predictor import Predictor, calibrated, single_thread
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training.heads.probe import choose, standardised
from lightmeter.models.training.heads.softmax import head_logits
from lightmeter.models.training.pretrained import load_backbones
from lightmeter.models.training.recipe import Probe, Recipe, read_recipe


def network(recipe: Recipe) -> Predictor:
    spec = ModelSpec(
        "corpus", "1.0", "", recipe.name, recipe.architecture, recipe.cut, (Target("any", ("a", "b")),),
        recipe.architecture_options,
    )  # fmt: skip
    built = architectures.build(spec)
    load_backbones(built, recipe)
    return Predictor(spec, built)


def features(recipe: Recipe, files: Sequence[Path], cache: Path) -> np.ndarray:
    """Return the features of every photograph, shape (N, F); a row of NaN for one that cannot be read."""
    kept = cache / f"{recipe.name}-{len(files)}.npy"
    if kept.is_file():
        return np.load(kept)
    predictor = network(recipe)

    def one(file: Path) -> np.ndarray | None:
        try:
            inputs = predictor.tensors(predictor.preprocess(file.read_bytes()))
        except InvalidPhoto:
            return None
        with torch.inference_mode():
            return predictor.network.features(inputs)[0].numpy()

    found = []
    with single_thread(), ThreadPoolExecutor() as pool:
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


@dataclass(frozen=True)
class Asked:
    """What a task asks of the photographs whose features are known.

    Attributes:
        features: shape (N, F).
        rows: of the same photographs, as a manifest has them.
        classes: −1 for photographs that are between the classes.
        stops: NaN where there are none.
    """

    features: torch.Tensor
    rows: list[dict[str, Any]]
    classes: np.ndarray
    stops: np.ndarray


def asked(task: Task, table: np.ndarray, photographs: Sequence[Shot]) -> Asked:
    found = [task.label(shot) for shot in photographs]
    chosen = [n for n, label in enumerate(found) if label != (None, None) and np.isfinite(table[n, 0])]
    name, classes = task.target.name, task.target.classes
    rows = [
        {
            f"label_{name}": found[n][0],
            f"stops_{name}": found[n][1],
            "group": f"{photographs[n].medium} {photographs[n].photographer}",
        }
        for n in chosen
    ]
    numbers = [-1 if found[n][0] is None else classes.index(str(found[n][0])) for n in chosen]
    stops = [np.nan if found[n][1] is None else found[n][1] for n in chosen]
    return Asked(torch.from_numpy(table[chosen]).double(), rows, np.asarray(numbers), np.asarray(stops, float))


def answered(task: Task, training: Probe, known: Asked, rest: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return shares of the classes of some photographs, by heads fitted to the rest."""
    inner = dealt([known.rows[n]["group"] for n in rest], 5, 1)
    sides = {"train": rest[inner > 0], "validation": rest[inner == 0]}
    standard, centre, spread = standardised({side: known.features[places] for side, places in sides.items()})
    kept = {side: [known.rows[n] for n in places] for side, places in sides.items()}
    head = choose(standard, kept, task.target, [task.target], training)
    places = np.concatenate(list(sides.values())) if training.folds else sides["validation"]
    truth = known.classes[places]
    warm = fit_temperature(head.logits[truth >= 0], truth[truth >= 0])
    parameters = head.parameters if head.final is None else head.final
    logits = head_logits(parameters, (known.features[test] - centre) / spread)
    return calibrated(logits.float().numpy(), warm)


def run_task(
    task: Task, training: Probe, table: np.ndarray, photographs: Sequence[Shot], chosen: argparse.Namespace
) -> dict[str, Any]:
    """Return figures over all folds, and those of always saying the median where there are stops."""
    training = training.model_copy(update={"class_weights": task.class_weights})
    known = asked(task, table, photographs)
    scored = np.flatnonzero(known.classes >= 0)
    groups = [known.rows[n]["group"] for n in scored]
    fold_of = dict(zip(groups, dealt(groups, chosen.folds, chosen.seed), strict=True))
    outer = np.asarray([fold_of.get(row["group"], -1) for row in known.rows])
    shares = np.zeros((len(known.rows), len(task.target.classes)))
    median = np.zeros(len(known.rows))
    for fold in range(chosen.folds):
        rest, test = np.flatnonzero(outer != fold), scored[outer[scored] == fold]
        shares[test] = answered(task, training, known, rest, test)
        median[test] = np.median(known.stops[rest]) if task.target.ordinal else 0
    stops, shares = known.stops[scored], shares[scored]
    error = np.abs(shares @ np.asarray(task.target.stops) - stops) if task.target.ordinal else None
    answers = ClassPredictions(
        known.classes[scored], shares.argmax(1), group_numbers(groups), shares.shape[1], shares.max(1), None, error
    )
    result = {"photographs": len(scored), "groups": len(set(groups)), **bootstrap(answers)}
    if task.target.ordinal:
        constant = replace(answers, confidence=None, error_stops=np.abs(median[scored] - stops))
        result["median_error_stops"] = bootstrap(constant)["error_stops"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--recipes", default="patches,lightmeter")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="by which photographers are dealt to the folds")
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
            found = run_task(task, recipe.training, table, photographs, chosen)
            results.setdefault(task.name, {})[name] = found
            value = format_estimate(found[task.figure], percent=task.figure == "balanced_accuracy")
            base = (
                f", median {format_estimate(found['median_error_stops'], percent=False)}" if task.target.ordinal else ""
            )
            ece = format_estimate(found["ece"], percent=False)
            print(f"{task.name}: {name} {task.figure} {value}{base}; ECE {ece}; "
                  f"{found['photographs']} photographs, {found['groups']} photographers", flush=True)  # fmt: skip
            chosen.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
