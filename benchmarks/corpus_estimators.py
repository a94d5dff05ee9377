"""Estimators of settings in stops that `benchmarks.corpus_trials` compares; each selects its penalty over groups."""

import numpy as np
from scipy.optimize import minimize

from benchmarks.corpus import assign_folds

Values = np.ndarray

FOLDS, PAIRS = 5, 6_000
PENALTIES = 10.0 ** np.arange(1, 6.1, 0.5)
MIN_STOPS = 1.0  # difference of a pair
HUBER_STOPS, ROBUST_ROUNDS = 0.5, 8  # errors above half a stop count linearly
ROBUST_PENALTIES = (300.0, 1_000.0, 3_000.0, 10_000.0)


def ridge(x: Values, y: Values, groups: Values, weights: Values) -> tuple[Values, Values]:
    """Return weights, shape (F, T), and intercepts of ridge regressions, each penalty selected over groups."""
    inner = assign_folds(groups.tolist(), FOLDS, 1)
    errors = np.zeros((len(PENALTIES), y.shape[1]))
    for fold in range(FOLDS):
        train, test = inner != fold, inner == fold
        if test.any():
            coefficients, intercepts = _ridge_path(x[train], y[train], weights[train])
            residuals = x[test] @ coefficients + intercepts[:, None] - y[test]
            errors += (weights[test, None] * residuals**2).sum(1)
    coefficients, intercepts = _ridge_path(x, y, weights)
    best = errors.argmin(0)
    columns = range(y.shape[1])
    return (
        np.column_stack([coefficients[best[column], :, column] for column in columns]),
        np.asarray([intercepts[best[column], column] for column in columns]),
    )


def _ridge_path(x: Values, y: Values, weights: Values) -> tuple[Values, Values]:
    """Return weights, shape (P, F, T), and intercepts, shape (P, T), for each penalty."""
    weights = weights / weights.sum()
    root = np.sqrt(weights * len(x))[:, None]
    centre, mean = weights @ x, weights @ y
    scaled = (x - centre) * root
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    target = vectors.T @ (scaled.T @ ((y - mean) * root))
    coefficients = np.stack([vectors @ (target / (values + penalty)[:, None]) for penalty in PENALTIES])
    return coefficients, mean - centre @ coefficients


def ranking(x: Values, y: Values, groups: Values, *, within: bool) -> tuple[Values, float]:
    """Return a linear function learned from pairs, mapped to stops by a line; the penalty is selected over groups."""
    inner = assign_folds(groups.tolist(), FOLDS, 1)
    held = inner == 0
    weights = [_rank(x[~held], y[~held], groups[~held], penalty, within) for penalty in (1e-2, 1e-1)]
    correlations = [np.corrcoef(x[held] @ weight, y[held])[0, 1] for weight in weights]
    best = weights[int(np.nanargmax(correlations))]
    slope, intercept = np.polyfit(x[held] @ best, y[held], 1)  # out of fold, else too steep
    return best * slope, intercept


def _rank(x: Values, y: Values, groups: Values, penalty: float, within: bool) -> Values:
    random = np.random.default_rng(0)
    first, second = random.integers(len(x), size=(2, PAIRS * (20 if within else 3)))
    selected = y[first] - y[second] >= MIN_STOPS
    if within:
        selected &= groups[first] == groups[second]
    differences = (x[first[selected]] - x[second[selected]])[:PAIRS]

    def loss(weight: Values) -> tuple[float, Values]:
        margins = differences @ weight
        slopes = -1 / (1 + np.exp(np.clip(margins, -30, 30)))
        value = np.logaddexp(0, -margins).mean() + penalty * weight @ weight / 2
        return value, differences.T @ slopes / len(margins) + penalty * weight

    return np.asarray(minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 40}).x)


def joint(x: Values, settings: Values, groups: Values, test: Values) -> Values:
    """Return estimates of three settings, shape (M, 3), from those of all of them and of the exposure value."""
    goals = np.column_stack([settings, settings[:, 0] - settings[:, 1] - settings[:, 2]])  # Av − log2 t − Sv
    inner = assign_folds(groups.tolist(), FOLDS, 2)
    inside, ones = np.zeros_like(goals), np.ones(len(x))
    for fold in range(FOLDS):
        train = inner != fold
        inside[~train] = ridge_estimates(x[train], goals[train], groups[train], ones[train], x[~train])
    outside = ridge_estimates(x, goals, groups, ones, test)
    solution = np.linalg.lstsq(np.column_stack([inside, ones]), settings, rcond=None)[0]
    return np.asarray(np.column_stack([outside, np.ones(len(test))]) @ solution)


def robust(x: Values, y: Values, groups: Values, test: Values) -> Values:
    """Return estimates of ridge regression with Huber's loss; the penalty is selected over groups by absolute error."""
    inner = assign_folds(groups.tolist(), FOLDS, 1)
    errors = np.zeros(len(ROBUST_PENALTIES))
    for fold in range(FOLDS):
        train, held = inner != fold, inner == fold
        for index, penalty in enumerate(ROBUST_PENALTIES):
            weight, intercept = _huber(x[train], y[train], penalty)
            errors[index] += np.abs(x[held] @ weight + intercept - y[held]).sum()
    weight, intercept = _huber(x, y, ROBUST_PENALTIES[int(errors.argmin())])
    return np.asarray(test @ weight + intercept)


def _huber(x: Values, y: Values, penalty: float) -> tuple[Values, float]:
    """Fit by iteratively reweighted least squares."""
    design = np.column_stack([x, np.ones(len(x))])
    diagonal = np.diag(np.append(np.full(x.shape[1], penalty), 1e-9))
    weights = np.ones(len(x))
    for _ in range(ROBUST_ROUNDS):
        gram = (design * weights[:, None]).T @ design
        solution = np.linalg.solve(gram + diagonal, design.T @ (weights * y))
        weights = np.minimum(1, HUBER_STOPS / np.abs(y - design @ solution).clip(1e-9))
    return solution[:-1], float(solution[-1])


def ridge_estimates(x: Values, y: Values, groups: Values, weights: Values, test: Values) -> Values:
    """Return estimates of ridge regression for other photographs, shape (M, T)."""
    coefficients, intercepts = ridge(x, y, groups, weights)
    return np.asarray(test @ coefficients + intercepts)
