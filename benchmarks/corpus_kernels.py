"""Try kernels, and a penalty for each part of the features, by Gaussian processes on nested folds; made for a GPU.

    python -m benchmarks.corpus_kernels ARRAYS.npz OUT.csv [--device cuda] [--steps 60]

ARRAYS.npz is written by ``benchmarks.corpus_features``. Settings in stops are regressed on the features with a random
intercept for each photographer. Each of five folds of photographers is held out; the strength of every kernel, of the
random intercept and of the noise are found inside the other folds, by gradient descent on the error of photographers
who are left out one at a time (in closed form). Trials:

``linear``: one penalty for all features. ``linear, 3 parts``: one each for the means of the patches, their deviations
and the view. ``linear, 12 parts``: and for the early, middle and late stages and the last layer of each.
``radial``: a radial kernel of each of the three parts beside the 12 linear ones.
``roots``: as ``linear, 12 parts``, of the signed square roots of the standardised features.
``8 each``: as ``linear, 12 parts``, trained on at most eight photographs of each photographer.
``50``, ``100``, ``200 photographers``: as ``linear, 12 parts``, on so many photographers drawn at random, three times.

``regression``: the regression itself; ``mean`` and ``median``: of the distribution over whole stops that follows from
it, as in the model that ships. Errors are of at most eight photographs of each photographer, the same in every trial.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.corpus import assign_folds, write_rows
from benchmarks.corpus_features import part_widths, rank_by_name, read_corpus
from benchmarks.corpus_tasks import APERTURE_STOPS, ISO_STOPS, SHUTTER_STOPS, Photo
from lightmeter.bootstrap import group_indices, group_intervals, paired_intervals
from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.models.training.recipe import read_recipe

FOLDS, EVALUATED, DRAWS = 5, 8, 3
PHOTOGRAPHERS = (50, 100, 200)
FOCAL_STOPS = tuple(float(value) for value in np.log2([14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448]))
HUBER = 0.5  # stops


@dataclass(frozen=True)
class Target:
    """Settings of one kind, NaN where unknown, with the centres of its classes."""

    name: str
    stops: np.ndarray
    centres: np.ndarray


@dataclass(frozen=True)
class Fold:
    """Estimates of held-out photographs: of the regression, and mean and median of the distribution."""

    regression: np.ndarray
    mean: np.ndarray
    median: np.ndarray
    strengths: np.ndarray


def gram(features: Tensor) -> Tensor:
    return features @ features.T / features.shape[1]


def radial(features: Tensor) -> Tensor:
    squares = torch.cdist(features, features).square() / features.shape[1]
    values: Tensor = (-squares / squares.median()).exp()
    return values


class Process:
    """Gaussian process with a random intercept for each group.

    Args:
        kernels: Kernels among the training photographs, shape (B, N, N).
        stops: Settings, shape (N,).
        groups: Group of each photograph, shape (N,).
        steps: Steps of gradient descent.
    """

    logs: Tensor
    coefficients: Tensor
    estimates: Tensor

    def __init__(self, kernels: Tensor, stops: Tensor, groups: np.ndarray, steps: int) -> None:
        self.centre = stops.median()
        self.stops = stops - self.centre
        same = torch.from_numpy(groups[:, None] == groups).to(stops)
        names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        order = np.argsort(index, kind="stable")
        padded = np.full((len(names), sizes.max()), -1)
        starts = np.cumsum(sizes) - sizes
        for row, (first, size) in enumerate(zip(starts, sizes, strict=True)):
            padded[row, :size] = order[first : first + size]
        members, labelled = (
            torch.from_numpy(padded.clip(0)).to(stops.device),
            torch.from_numpy(padded >= 0).to(stops.device),
        )
        variance = self.stops.var()
        scale = kernels.diagonal(dim1=1, dim2=2).mean(1)
        start = torch.log(0.5 * variance / len(kernels) / scale)
        logs = torch.cat([start, torch.log(variance * stops.new_tensor([0.15, 0.5]))]).requires_grad_()
        optimiser = torch.optim.Adam([logs], lr=0.15)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, 0.02)
        best = float("inf")
        for step in range(steps + 1):
            residuals, coefficients = self._left_out(kernels, same, members, labelled, logs)
            loss = (HUBER**2 * (torch.sqrt(1 + (residuals / HUBER).square()) - 1)).mean()
            loss = loss + 1e-3 * (logs[:-2] - start).square().mean()
            if loss.item() < best:
                best, self.logs, self.coefficients = loss.item(), logs.detach().clone(), coefficients.detach()
                self.estimates = (stops - residuals).detach()
            if step < steps:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()

    def _left_out(
        self, kernels: Tensor, same: Tensor, members: Tensor, labelled: Tensor, logs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the errors of each group by a fit to the others, and the coefficients of the fit to all."""
        weights = logs.exp()
        covariance = torch.tensordot(weights[:-2], kernels, 1) + weights[-2] * same + 10 * self.stops.var()
        covariance = covariance + weights[-1] * torch.eye(len(same), dtype=same.dtype, device=same.device)
        inverse = torch.linalg.inv(covariance)
        coefficients = inverse @ self.stops
        block = inverse[members[:, :, None], members[:, None, :]]
        both = labelled[:, :, None] & labelled[:, None, :]
        block = torch.where(both, block, torch.eye(block.shape[1], dtype=block.dtype, device=block.device))
        values = torch.linalg.solve(block, torch.where(labelled, coefficients[members], 0.0))
        residuals = torch.zeros_like(self.stops).scatter(0, members[labelled], values[labelled])
        return residuals, coefficients

    def predict(self, kernels: Tensor) -> Tensor:
        """Return estimates for kernels between other and the training photographs, shape (B, M, N)."""
        covariance = torch.tensordot(self.logs[:-2].exp(), kernels, 1) + 10 * self.stops.var()
        estimates: Tensor = covariance @ self.coefficients + self.centre
        return estimates


def distribution(
    inside: np.ndarray, stops: np.ndarray, outside: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and median of the distributions over classes, from estimates inside and outside of the training."""
    slope, constant = np.polyfit(stops, inside, 1)
    variance = np.var(inside - slope * stops - constant)
    counts = np.bincount(np.abs(stops[:, None] - centres).argmin(1), minlength=len(centres))
    logits = np.log(counts.clip(0.01)) - (outside[:, None] - slope * centres - constant) ** 2 / (2 * variance)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    half = np.diff(centres) / 2
    edges = np.concatenate([[centres[0] - half[0]], centres[:-1] + half, [centres[-1] + half[-1]]])
    cumulative = np.concatenate([np.zeros((len(outside), 1)), probabilities.cumsum(1)], 1)
    return probabilities @ centres, np.asarray([np.interp(0.5, row, edges) for row in cumulative])


def run_fold(
    kernels: Tensor, target: Target, groups: np.ndarray, train: np.ndarray, test: np.ndarray, steps: int
) -> Fold:
    """Fit to the training photographs and estimate the others."""
    low, high = np.quantile(target.stops[train], [0.01, 0.99])
    stops = target.stops[train].clip(low, high)
    rows, columns = (torch.from_numpy(index).to(kernels.device) for index in (test, train))
    process = Process(kernels[:, columns[:, None], columns], torch.from_numpy(stops).to(kernels), groups[train], steps)
    outside = process.predict(kernels[:, rows[:, None], columns]).cpu().numpy()
    mean, median = distribution(process.estimates.cpu().numpy(), stops, outside, target.centres)
    return Fold(outside, mean, median, process.logs.exp().cpu().numpy())


def trials(features: Tensor, groups: np.ndarray, rank: np.ndarray) -> Iterator[tuple[str, Tensor, np.ndarray]]:
    """Yield the name of each trial, its kernels and a mask of the photographs that may train."""
    blocks = features.split([width for part in part_widths(read_recipe("lightmeter")).values() for width in part], 1)
    thirds = [torch.cat(blocks[start : start + 4], 1) for start in (0, 4, 8)]
    everyone = np.ones(len(groups), bool)
    yield "linear", gram(features)[None], everyone
    yield "linear, 3 parts", torch.stack([gram(part) for part in thirds]), everyone
    linear = torch.stack([gram(block) for block in blocks])
    yield "linear, 12 parts", linear, everyone
    yield "8 each", linear, rank < EVALUATED
    yield "radial", torch.cat([linear, torch.stack([radial(part) for part in thirds])]), everyone
    roots = [block.sign() * block.abs().sqrt() for block in blocks]
    yield "roots", torch.stack([gram(block) for block in roots]), everyone
    photographers = np.unique(groups)
    for count in PHOTOGRAPHERS:
        for draw in range(DRAWS):
            drawn = np.random.default_rng(draw).permutation(photographers)
            yield f"{count} photographers, draw {draw + 1}", linear, _first(groups, drawn, count)


def _first(groups: np.ndarray, drawn: np.ndarray, count: int) -> np.ndarray:
    """Return a mask of a share of the photographers, so many that ``count`` remain when a fold is held out."""
    return np.isin(groups, drawn[: round(count * FOLDS / (FOLDS - 1))])


def targets_of(photos: Sequence[Photo]) -> list[Target]:
    def stops(values: Sequence[float | None], convert: Any) -> np.ndarray:
        return np.asarray(
            [convert(value) if value and photo.digital else np.nan for value, photo in zip(values, photos, strict=True)]
        )

    return [
        Target("aperture", stops([photo.f_number for photo in photos], aperture_stops), np.asarray(APERTURE_STOPS[1])),
        Target(
            "shutter", stops([photo.exposure_time_s for photo in photos], shutter_stops), np.asarray(SHUTTER_STOPS[1])
        ),
        Target("iso", stops([photo.iso for photo in photos], iso_stops), np.asarray(ISO_STOPS[1])),
        Target(
            "focal-length-35mm", stops([photo.focal_length_35mm for photo in photos], np.log2), np.asarray(FOCAL_STOPS)
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="file of benchmarks.corpus_features, or folder of photographs")
    parser.add_argument("out", type=Path, help="CSV file to write")
    parser.add_argument("--device", default="cpu", help="device of PyTorch (default: cpu)")
    parser.add_argument("--steps", type=int, default=60, help="steps of gradient descent (default: 60)")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no trial after so many minutes")
    parser.add_argument("--cache", type=Path, default=Path(".corpus-cache"), help="folder of cached features")
    options = parser.parse_args()
    begin = time.monotonic()
    photos, raw = read_corpus(options.corpus, read_recipe("lightmeter"), options.cache)
    groups = np.asarray([photo.photographer for photo in photos])
    rank = rank_by_name(photos)
    folds = assign_folds(groups.tolist(), FOLDS, 0)
    features = torch.from_numpy((raw - raw.mean(0)) / raw.std(0).clip(1e-6)).to(options.device, torch.float64)
    targets = targets_of(photos)
    rows: list[dict[str, Any]] = []
    strengths: list[dict[str, Any]] = []
    references: dict[str, np.ndarray] = {}
    for trial, kernels, usable in trials(features, groups, rank):
        if time.monotonic() - begin > 60 * options.minutes:
            break
        for target in targets:
            labelled = np.isfinite(target.stops)
            evaluated = labelled & (rank < EVALUATED)
            estimates = {name: np.full(len(photos), np.nan) for name in ("constant", "regression", "mean", "median")}
            for fold in range(FOLDS):
                train = np.flatnonzero(labelled & usable & (folds != fold))
                test = np.flatnonzero(evaluated & (folds == fold))
                result = run_fold(kernels, target, groups, train, test, options.steps)
                estimates["constant"][test] = np.median(target.stops[labelled & (rank < EVALUATED) & (folds != fold)])
                for name in ("regression", "mean", "median"):
                    estimates[name][test] = getattr(result, name)
                strengths.append(
                    {
                        "trial": trial,
                        "target": target.name,
                        "fold": fold,
                        **{str(n): f"{value:.4g}" for n, value in enumerate(result.strengths)},
                    }
                )
            errors = {name: np.abs(values - target.stops)[evaluated] for name, values in estimates.items()}
            references.setdefault(target.name, errors["mean"])
            for name in ("regression", "mean", "median"):
                rows.append(
                    row(
                        target.name,
                        trial,
                        name,
                        errors[name],
                        errors["constant"],
                        references[target.name],
                        groups[evaluated],
                    )
                )
                print(
                    *[f"{value:.3f}" if isinstance(value, float) else value for value in rows[-1].values()],
                    sep=", ",
                    flush=True,
                )
            write_rows(options.out, rows)
            write_rows(options.out.with_name("part-strengths.csv"), strengths)
        print(trial, f"{time.monotonic() - begin:.0f} s", flush=True)


def row(
    target: str,
    trial: str,
    estimate: str,
    errors: np.ndarray,
    constant: np.ndarray,
    reference: np.ndarray,
    groups: np.ndarray,
) -> dict[str, Any]:
    """Return a row: mean error, how much less it is than the median's, and the difference from the first trial."""
    indices = group_indices(groups.tolist())
    sizes = np.bincount(indices)
    sums = {
        name: np.bincount(indices, values)
        for name, values in (("ours", errors), ("constant", constant), ("first", reference))
    }

    def gain(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "error": weights @ sums["ours"] / (weights @ sizes),
            "gain": 1 - weights @ sums["ours"] / (weights @ sums["constant"]),
        }

    intervals = group_intervals(gain, sizes, {"error": "amount", "gain": "number"})
    difference = paired_intervals(
        lambda weights: {"error": weights @ sums["first"] / (weights @ sizes)},
        lambda weights: {"error": weights @ sums["ours"] / (weights @ sizes)},
        sizes,
    )["error"]
    return {
        "target": target,
        "trial": trial,
        "estimate": estimate,
        "photographs": len(errors),
        "photographers": len(sizes),
        **intervals["error"],
        **{f"gain_{key}": value for key, value in intervals["gain"].items()},
        **{f"difference_{key}": value for key, value in difference.items()},
    }


if __name__ == "__main__":
    main()
