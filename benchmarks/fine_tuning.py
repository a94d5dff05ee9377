"""Fine-tune the upper blocks of a backbone end to end, against heads on the frozen backbone, on the same folds.

    python -m benchmarks.fine_tuning DATA OUT [--device cuda] [--minutes 7] [--folds 5] [--photographs N] [--epochs 14]

DATA is a folder of ``benchmarks.fine_tuning_data``. No photographer is in two folds. For each fold and all targets:

``probe``: mean and standard deviation of the maps of every stage and the mean of the last layer, in native tiles and in
the view; a penalised linear head by least squares. The penalty is selected by cross-validation within the training
photographers.
``upper``: starts from the weights of ``probe`` for all targets together and trains the last third of both backbones and
the heads.
``half``: new heads with dropout on the last layer of both backbones; trains the upper half of both.
``probe + upper``, ``probe + half``: the mean of their predictions.

Epochs and learning rates were fixed beforehand. OUT gets ``predictions.csv`` after each fold, and ``results.csv`` with
intervals from resamples of whole photographers. Only torch, NumPy, Pillow and scikit-learn are needed.
"""

import argparse
import csv
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.fine_tuning_network import FEATURES, SIZES, STOPS, Data, Network, build_network, read_data
from benchmarks.fine_tuning_results import results_of

PENALTIES = tuple(10.0**exponent for exponent in np.arange(-2, 2.1, 0.5))
VARIANTS = {  # first trained block as a share of all, learning rates of blocks and heads
    "upper": (2 / 3, 5e-5, 2e-5),
    "half": (1 / 2, 2e-4, 1e-3),
}
BATCH, WEIGHT_DECAY, DROPOUT = 48, 0.05, 0.3
PROBE_SCALE = 2.5  # from scores of least squares on −1 and 1 to logits


def batches(data: Data, indices: np.ndarray, network: Network) -> Iterator[Tensor]:
    """Yield the features of photographs, as trained so far."""
    for start in range(0, len(indices), BATCH):
        batch = torch.as_tensor(indices[start : start + BATCH], device=data.view.device)
        with torch.inference_mode():
            yield network.features(data.tiles[batch], data.view[batch])


def targets_of(data: Data, name: str, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs that a head is to give, shape (N, K), and a weight for each photograph, 0 without a label."""
    labels = data.labels[name]
    labelled = np.isfinite(labels)
    if name in STOPS:
        values = labels[train][labelled[train]]
        return np.nan_to_num((labels - values.mean()) / values.std())[:, None], labelled.astype(float)
    indices = np.where(labelled, labels, 0).astype(int)
    counts = np.bincount(indices[train][labelled[train]], minlength=SIZES[name]).clip(1)
    weights = np.where(labelled, (labelled[train].sum() / len(counts) / counts)[indices], 0.0)
    return np.eye(SIZES[name])[indices] * 2 - 1, weights


def fit_ridge(kernel: Tensor, outputs: Tensor, weights: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return the coefficients of the photographs and the intercept of a weighted ridge regression in its dual form."""
    offset = (weights[:, None] * outputs).sum(0) / weights.sum()
    root = weights.sqrt()
    system = root[:, None] * kernel * root + penalty * torch.eye(len(kernel), device=kernel.device, dtype=kernel.dtype)
    return root[:, None] * torch.linalg.solve(system, root[:, None] * (outputs - offset)), offset


def fit_probe(data: Data, features: Tensor, train: np.ndarray, name: str) -> tuple[Tensor, Tensor]:
    """Return weights and biases of the head of a target, with the penalty selected over the training photographers."""
    values, importance = targets_of(data, name, train)
    labelled = train[importance[train] > 0]
    x = features[labelled]
    kernel = x @ x.T
    outputs, weights = (
        torch.as_tensor(array[labelled], device=x.device, dtype=x.dtype) for array in (values, importance)
    )
    groups = data.photographers[labelled]
    errors = np.zeros(len(PENALTIES))
    for inner, held in GroupKFold(min(5, len(set(groups)))).split(labelled, groups=groups):
        for index, penalty in enumerate(PENALTIES):
            dual, offset = fit_ridge(kernel[inner][:, inner], outputs[inner], weights[inner], penalty)
            error = (kernel[held][:, inner] @ dual + offset - outputs[held]) ** 2
            errors[index] += float((weights[held][:, None] * error).sum())
    dual, offset = fit_ridge(kernel, outputs, weights, PENALTIES[int(errors.argmin())])
    return x.T @ dual, offset


def loss_of(outputs: Tensor, goals: dict[str, tuple[Tensor, ...]], batch: Tensor) -> Tensor:
    """Return the sum of the losses of all targets: Huber for stops, weighted cross-entropy for classes."""
    total = outputs.new_zeros(())
    for name, part in zip(SIZES, outputs.split(list(SIZES.values()), 1), strict=True):
        values, weights = (tensor[batch] for tensor in goals[name])
        if name in STOPS:
            losses = functional.smooth_l1_loss(part, values, reduction="none")[:, 0]
        else:
            losses = functional.cross_entropy(part, values.argmax(1), reduction="none")
        total = total + (weights * losses).sum() / weights.sum().clamp(min=1)
    return total


def train_network(network: Network, variant: str, data: Data, train: np.ndarray, epochs: int, seconds: float) -> int:
    """Train the heads and the upper blocks; return the epochs that there was time for."""
    share, rate, head_rate = VARIANTS[variant]
    device = data.view.device
    goals = {
        name: tuple(
            torch.as_tensor(array, device=device, dtype=torch.float32) for array in targets_of(data, name, train)
        )
        for name in SIZES
    }
    optimizer = torch.optim.AdamW(
        [
            {"params": network.train_from(share), "lr": rate},
            {"params": list(network.head.parameters()), "lr": head_rate},
        ],
        weight_decay=WEIGHT_DECAY,
    )
    steps = epochs * math.ceil(len(train) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * min(1, step / steps)))
    )
    random = np.random.default_rng(0)
    start = time.monotonic()
    network.head.train()
    done = 0
    while done < epochs and time.monotonic() - start < seconds:
        order = random.permutation(train)
        for first in range(0, len(order), BATCH):
            batch = torch.as_tensor(order[first : first + BATCH], device=device)
            tiles, view = data.tiles[batch], data.view[batch]
            if random.random() < 0.5:
                tiles, view = tiles.flip(-1), view.flip(-1)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                outputs = network(tiles, view)
            loss = loss_of(outputs.float(), goals, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
            optimizer.step()
            schedule.step()
        done += 1
    network.head.eval()
    return done


def predictions_of(outputs: Tensor, data: Data, train: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    """Return stops, shape (N, 1), and probabilities of classes, shape (N, K)."""
    result = {}
    for name, part in zip(SIZES, outputs.double().split(list(SIZES.values()), 1), strict=True):
        if name in STOPS:
            labels = data.labels[name][train]
            result[name] = part.cpu().numpy() * np.nanstd(labels) + np.nanmean(labels)
        else:
            result[name] = (part * scale).softmax(1).cpu().numpy()
    return result


def run_fold(
    data: Data, folder: Path, train: np.ndarray, test: np.ndarray, options: argparse.Namespace, seconds: float
) -> dict[str, dict[str, np.ndarray]]:
    """Return the predictions of every model for the test photographs of a fold."""
    device = str(data.view.device)
    start = time.monotonic()
    network = build_network(folder, device, depths=True)
    parts = (("train", train), ("test", test))
    raw = {split: torch.cat(list(batches(data, indices, network))) for split, indices in parts}
    centre, scale = raw["train"].mean(0), raw["train"].std(0).clamp(min=1e-6) * raw["train"].shape[1] ** 0.5
    features = torch.zeros((len(data.names), len(centre)), dtype=torch.float64, device=device)
    for split, indices in parts:
        features[torch.as_tensor(indices, device=device)] = ((raw[split] - centre) / scale).double()
    heads = [fit_probe(data, features, train, name) for name in SIZES]
    weights, biases = torch.cat([weight for weight, _ in heads], 1), torch.cat([bias for _, bias in heads])
    outputs = features[torch.as_tensor(test, device=device)] @ weights + biases
    result = {"probe": predictions_of(outputs, data, train, PROBE_SCALE)}
    print(f"probe {time.monotonic() - start:.0f} s", flush=True)
    for index, variant in enumerate(VARIANTS):
        network = build_network(folder, device, depths=variant == "upper")
        if variant == "upper":
            network.centre, network.scale = centre.clone(), scale.clone()
            network.head = nn.Linear(len(centre), weights.shape[1]).to(device)
            with torch.no_grad():
                factors = [1.0 if name in STOPS else PROBE_SCALE for name, size in SIZES.items() for _ in range(size)]
                factor = torch.tensor(factors, device=device)
                network.head.weight.copy_((weights * factor).T)
                network.head.bias.copy_(biases * factor)
        else:
            width = 2 * FEATURES
            network.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(width, weights.shape[1])).to(device)
        left = (seconds - (time.monotonic() - start)) / (len(VARIANTS) - index)
        epochs = train_network(network, variant, data, train, options.epochs, left)
        with torch.inference_mode():
            outputs = torch.cat([network.head(batch) for batch in batches(data, test, network)])
        result[variant] = predictions_of(outputs, data, train, 1.0)
        print(f"{variant} {epochs} epochs, {time.monotonic() - start:.0f} s", flush=True)
    for variant in VARIANTS:
        result[f"probe + {variant}"] = {name: (result["probe"][name] + result[variant][name]) / 2 for name in SIZES}
    labels = {name: np.nanmedian(data.labels[name][train]) for name in STOPS}
    result["median"] = {name: np.full((len(test), 1), labels[name]) for name in STOPS}
    return result


def rows_of(data: Data, test: np.ndarray, outputs: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Yield a row for each label of the test photographs."""
    for name, values in outputs.items():
        for position, output in zip(test, values, strict=True):
            if np.isfinite(truth := data.labels[name][position]):
                yield {
                    "target": name,
                    "name": data.names[position],
                    "photographer": data.photographers[position],
                    "truth": truth,
                    "output": " ".join(f"{value:.5g}" for value in output),
                }


def write_csv(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV."""
    with file.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of benchmarks.fine_tuning_data")
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="torch device")
    parser.add_argument("--minutes", type=float, default=7, help="time limit (default: 7)")
    parser.add_argument("--folds", type=int, default=5, help="number of folds (default: 5)")
    parser.add_argument("--photographs", type=int, help="only so many photographs")
    parser.add_argument("--epochs", type=int, default=14, help="epochs of each training (default: 14)")
    options = parser.parse_args()
    start, limit = time.monotonic(), options.minutes * 60 - 25  # the rest is for the intervals
    torch.manual_seed(0)
    data = read_data(options.data, options.photographs, options.device)
    print(len(data.names), "photographs,", len(set(data.photographers)), "photographers,", options.device, flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    longest = 0.0
    folds = list(GroupKFold(options.folds).split(data.names, groups=data.photographers))
    for index, (train, test) in enumerate(folds):
        began = time.monotonic()
        left = limit - (began - start)
        if left < 0.7 * longest:
            print(f"no time for {len(folds) - index} folds")
            break
        fold = run_fold(data, options.data, train, test, options, left / (len(folds) - index))
        longest = max(longest, time.monotonic() - began)
        for model, by_target in fold.items():
            rows += [{"fold": index, "model": model, **row} for row in rows_of(data, test, by_target)]
        write_csv(options.out / "predictions.csv", rows)
        print(f"fold {index + 1} of {len(folds)}: {time.monotonic() - start:.0f} s", flush=True)
    results = list(results_of(rows))
    write_csv(options.out / "results.csv", results)
    for row in results:
        print(*row.values())
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
