"""Evaluate ISONet with its public weights on the photographs of a folder.

    python -m benchmarks.isonet CORPUS/lockbox net_jpg.pth [--out docs/results/isonet.csv]

The weights are ``models/net_jpg.pth`` of the repository zengh5/ISONet (H. Zeng and others, "ISONet: ISO Setting
Estimation Based on Convolutional Neural Network and Its Application in Image Forensics"); they are neither copied nor
changed. The network estimates log2(ISO / 100) of a patch of 64 × 64 pixels; the estimate of a photograph is the median
over a grid of patches at the size of the file.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.corpus import write_rows
from benchmarks.corpus_tasks import read_photos
from benchmarks.gather import read_list
from lightmeter.bootstrap import Estimate, group_indices, group_intervals
from lightmeter.exposure import iso_stops

PATCH, GRID = 64, 4
LOW, HIGH = iso_stops(200), iso_stops(800)


def network(weights: Path) -> nn.Sequential:
    """Return the network with the published weights."""
    channels = (3, 32, 64, 64, 64, 32, 16, 8)
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(pairwise(channels), 1):
        layers += [nn.Conv2d(before, after, 3), nn.ReLU()]
        if index in (2, 7):
            layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(800, 64), nn.Linear(64, 8), nn.Linear(8, 1))
    published = torch.load(weights, map_location="cpu", weights_only=True)
    names = list(model.state_dict())
    model.load_state_dict(dict(zip(names, published.values(), strict=True)))
    return model.eval()


def patches(file: Path) -> Tensor:
    """Return a grid of patches of a photograph, shape (N, 3, 64, 64)."""
    with Image.open(file) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255
    tops, lefts = (np.linspace(0, side - PATCH, GRID).astype(int) for side in pixels.shape[1:])
    return torch.stack([pixels[:, top : top + PATCH, left : left + PATCH] for top in tops for left in lefts])


def area_under_curve(low: np.ndarray, high: np.ndarray) -> float:
    """Return the probability that a photograph of high ISO has the higher estimate."""
    if not len(low) or not len(high):
        return float("nan")
    return float(((high[:, None] > low).mean() + (high[:, None] >= low).mean()) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of photographs")
    parser.add_argument("weights", type=Path, help="file of weights")
    parser.add_argument("--out", type=Path, default=Path("docs/results/isonet.csv"), help="CSV file of results")
    options = parser.parse_args()
    model = network(options.weights)
    photos = [photo for photo in read_photos(options.corpus) if photo.digital and photo.iso]
    truth = np.asarray([iso_stops(photo.iso or 0) for photo in photos])
    with torch.inference_mode():
        estimates = np.asarray([model(patches(photo.file)).median().item() for photo in photos])
    development = [float(row["iso"]) for row in read_list() if row["split"] == "development" and row["iso"]]
    median = np.median([iso_stops(value) for value in development])
    groups = group_indices([photo.photographer for photo in photos])
    sizes = np.bincount(groups)

    def error(values: np.ndarray) -> Estimate:
        sums = np.bincount(groups, np.abs(values - truth))
        return group_intervals(lambda w: {"error": w @ sums / (w @ sizes)}, sizes, {"error": "amount"})["error"]

    random = np.random.default_rng(0)
    draws = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in random.integers(len(sizes), size=len(sizes))])
        draws.append(area_under_curve(estimates[rows][truth[rows] <= LOW], estimates[rows][truth[rows] >= HIGH]))
    area = area_under_curve(estimates[truth <= LOW], estimates[truth >= HIGH])
    low, high = np.nanquantile(draws, (0.025, 0.975))
    counts = {"photographs": len(photos), "photographers": len(sizes)}
    extreme = (truth <= LOW) | (truth >= HIGH)
    of_extremes = {"photographs": int(extreme.sum()), "photographers": len(np.unique(groups[extreme]))}
    rows_out: list[dict[str, Any]] = [
        {"metric": "AUC, ISO >= 800 against <= 200", **of_extremes, "value": area, "low": low, "high": high},
        {"metric": "error in stops", **counts, **error(estimates)},
        {"metric": "error in stops, median of development", **counts, **error(np.full(len(truth), median))},
    ]
    write_rows(options.out, rows_out)
    for row in rows_out:
        print(*row.values(), sep=", ")


if __name__ == "__main__":
    main()
