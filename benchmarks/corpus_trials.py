"""Try recipes on the cached features of a corpus, each by ridge regression on the same folds of photographers.

    python -m benchmarks.corpus_trials CORPUS --cache DIR [--out docs/results/trials.csv]

CORPUS contains ``digital/PHOTOGRAPHER/…`` and ``film/PHOTOGRAPHER/…``. The features of the recipe ``lightmeter`` are
standardised and rotated to their first 384 principal components, without labels. In each of five folds of photographers
the penalty is selected by cross-validation over the photographers of the other folds. Trials:

``all``: every photographer of the other folds. ``50``, ``100``, ``200``: so many of them, drawn at random three times.
``each photographer once``: photographs weighted so that each photographer counts the same.
``robust``: Huber's loss instead of squares, selected by the absolute error.
``ranking``: a linear function learned from pairs of photographs that differ by a stop or more (logistic loss), then
mapped to stops by a line; ``ranking within photographers`` takes both photographs of a pair from one photographer.
``joint``: estimates of all settings and of the exposure value together, regressed on each setting (L. Breiman and
J. H. Friedman, "Predicting multivariate responses in multiple linear regression", JRSS B 59, 1997).
``without nuisance``: directions of the features from which size, JPEG quality and editing software can be predicted are
projected out. ``one body``, ``several bodies``, ``resized``, ``full size``: the estimates of ``all`` for photographs of
photographers with one or several cameras, and for photographs of at most or above 2,048 pixels.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.corpus import assign_folds, errors_in_stops, write_rows
from benchmarks.corpus_estimators import FOLDS, PENALTIES, Values, joint, ranking, ridge_estimates, robust
from benchmarks.corpus_features import read_corpus
from benchmarks.corpus_tasks import Photo
from lightmeter.bootstrap import group_indices, group_intervals
from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.models.training.recipe import read_recipe

COMPONENTS, DRAWS = 384, 3
PHOTOGRAPHERS = (50, 100, 200)
RESIZED = 2048  # pixels of the longer side
NUISANCE_DIRECTIONS = 8


def nuisance(photo: Photo) -> list[float]:
    """Return size, proportions, JPEG quality and editing software of a photograph."""
    sides, software = sorted(photo.size), photo.software.lower()
    editors = [float(name in software) for name in ("lightroom", "photoshop", "gimp", "picasa", "camera raw")]
    return [np.log2(sides[1]), sides[1] / sides[0], photo.quality, float(bool(software)), *editors]


def without_nuisance(x: Values, values: Values, train: Values) -> Values:
    """Return the features without the directions from which the nuisance can be predicted."""
    standard = (values - values[train].mean(0)) / values[train].std(0).clip(1e-6)
    centred = x - x[train].mean(0)
    gram = centred[train].T @ centred[train] + PENALTIES[4] * np.eye(x.shape[1])
    directions = np.linalg.solve(gram, centred[train].T @ standard[train])
    basis = np.linalg.qr(directions)[0][:, :NUISANCE_DIRECTIONS]
    return np.asarray(centred - centred @ basis @ basis.T)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of photographs, or a file of benchmarks.corpus_features")
    parser.add_argument("--photographs", type=int, help="number to take of each photographer at most (default: all)")
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"), help="folder of cached features")
    parser.add_argument("--out", type=Path, default=Path("docs/results/trials.csv"), help="CSV file of results")
    options = parser.parse_args()
    photos, raw = read_corpus(options.corpus, read_recipe("lightmeter"), options.cache, options.photographs)
    features = components(raw)
    rows: list[dict[str, Any]] = []
    for trials in (medium_trials, settings_trials):
        rows += trials(photos, features)
        write_rows(options.out, rows)
    for row in rows:
        print(*row.values(), sep=", ")


def components(raw: Values) -> Values:
    """Return the first principal components of standardised features."""
    standard = torch.from_numpy((raw - raw.mean(0)) / raw.std(0).clip(1e-6)).float()
    torch.manual_seed(0)
    left, singular, _ = torch.svd_lowrank(standard, COMPONENTS, niter=3)
    return np.asarray((left * singular).double().numpy())


def settings_trials(photos: Sequence[Photo], features: Values) -> list[dict[str, Any]]:
    """Return the errors in stops of every trial."""
    stops = [
        (aperture_stops(photo.f_number), shutter_stops(photo.exposure_time_s), iso_stops(photo.iso))
        if photo.digital and photo.f_number and photo.exposure_time_s and photo.iso
        else None
        for photo in photos
    ]
    labelled = [n for n, values in enumerate(stops) if values]
    settings = np.asarray([stops[n] for n in labelled])
    x, groups = features[labelled], np.asarray([photos[n].photographer for n in labelled])
    folds = assign_folds(groups.tolist(), FOLDS, 0)
    estimates: dict[str, Values] = {}
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(FOLDS)]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda split: fold_estimates(x, settings, groups, *split), splits))
    for (_, test), result in zip(splits, results, strict=True):
        for name, values in result.items():
            estimates.setdefault(name, np.full((len(labelled), 3), np.nan))[test] = values
    parts = _parts([photos[n] for n in labelled], groups)
    rows = []
    for column, target in enumerate(("aperture", "shutter", "iso")):
        errors = {name: np.abs(values[:, column] - settings[:, column]) for name, values in estimates.items()}
        rows += [_row(target, name, error, errors["median"], groups) for name, error in errors.items()]
        for part, mask in parts.items():
            rows.append(_row(target, part, errors["all"][mask], errors["median"][mask], groups[mask]))
    return rows


def fold_estimates(x: Values, settings: Values, groups: Values, train: Values, test: Values) -> dict[str, Values]:
    """Return the estimates of each trial for the test photographs, shape (M, 3)."""
    x_train, y, names = x[train], settings[train], groups[train]
    result = {"median": np.tile(np.median(y, 0), (len(test), 1))}
    photographers, index, sizes = np.unique(names, return_inverse=True, return_counts=True)
    for count in PHOTOGRAPHERS:
        for draw in range(DRAWS):
            some = np.isin(names, np.random.default_rng(draw).permutation(photographers)[:count])
            estimates = ridge_estimates(x_train[some], y[some], names[some], np.ones(some.sum()), x[test])
            result[f"{count} photographers, draw {draw + 1}"] = estimates
    result["all"] = ridge_estimates(x_train, y, names, np.ones(len(y)), x[test])
    result["each photographer once"] = ridge_estimates(x_train, y, names, 1 / sizes[index], x[test])
    result["robust"] = np.column_stack([robust(x_train, goal, names, x[test]) for goal in y.T])
    for name, within in _RANKINGS.items():
        columns = [ranking(x_train, y[:, column], names, within=within) for column in range(y.shape[1])]
        result[name] = np.column_stack([x[test] @ weight + intercept for weight, intercept in columns])
    result["joint"] = joint(x[train], settings[train], groups[train], x[test])
    result["all and ranking, mean"] = (result["all"] + result["ranking"]) / 2
    return result


_RANKINGS = {"ranking": False, "ranking within photographers": True}


def _parts(photos: Sequence[Photo], groups: Values) -> dict[str, Values]:
    """Return masks of photographs by cameras of the photographer and by size."""
    bodies = {group: {photos[int(n)].model for n in np.flatnonzero(groups == group)} for group in set(groups)}
    several = np.asarray([len(bodies[group]) > 1 for group in groups])
    small = np.asarray([max(photo.size) <= RESIZED for photo in photos])
    return {"one body": ~several, "several bodies": several, "resized": small, "full size": ~small}


def medium_trials(photos: Sequence[Photo], features: Values) -> list[dict[str, Any]]:
    """Return the balanced accuracy of film against digital, with and without the nuisance."""
    truth = np.asarray([1.0 if photo.medium == "film" else 0.0 for photo in photos])
    groups = np.asarray([photo.photographer for photo in photos])
    properties = np.asarray([nuisance(photo) for photo in photos])
    folds = assign_folds(groups.tolist(), FOLDS, 0)
    rows = []
    for name in ("nuisance alone", "all", "without nuisance"):
        scores = np.empty(len(photos))
        for fold in range(FOLDS):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            x = {"all": features, "nuisance alone": properties}.get(name)
            if x is None:
                x = without_nuisance(features, properties, train)
            weights = np.where(truth[train] > 0, 0.5 / truth[train].mean(), 0.5 / (1 - truth[train].mean()))
            scores[test] = ridge_estimates(x[train], truth[train, None], groups[train], weights, x[test])[:, 0]
        right = (scores > 0.5) == (truth > 0.5)
        indices = group_indices(groups.tolist())
        counts = np.stack([np.bincount(indices, mask) for mask in (truth > 0.5, truth < 0.5)])
        hits = np.stack([np.bincount(indices, mask & right) for mask in (truth > 0.5, truth < 0.5)])

        def accuracy(weights: Values, hits: Values = hits, counts: Values = counts) -> dict[str, Values]:
            with np.errstate(invalid="ignore"):
                return {"accuracy": ((weights @ hits.T) / (weights @ counts.T)).mean(-1)}

        estimate = group_intervals(accuracy, np.bincount(indices), {"accuracy": "proportion"})["accuracy"]
        rows.append({"target": "medium, balanced accuracy", "trial": name, **_counts(groups), **estimate})
    return rows


def _counts(groups: Values) -> dict[str, int]:
    return {"photographs": len(groups), "photographers": len(set(groups))}


def _row(target: str, trial: str, errors: Values, median: Values, groups: Values) -> dict[str, Any]:
    """Return a row with the mean error, that by photographers, and the share by which it is less than the median's."""
    result = errors_in_stops(errors, median, group_indices(groups.tolist()))
    return {
        "target": f"{target}, stops",
        "trial": trial,
        **_counts(groups),
        **result["error"],
        **{f"gain_{key}": value for key, value in result["gain"].items()},
        **{f"by_photographer_{key}": value for key, value in result["by_photographer"].items()},
    }


if __name__ == "__main__":
    main()
