"""Measure a GPU: its share of a training step, and features of `lightmeter`; takes at most ten minutes.

    python -m benchmarks.gpu [--device cuda] [--photographs 2000] [--recipe NAME] [--json FILE]

Prints one JSON document. On a CPU, with few photographs, it only shows that the script works.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.train import make_dataset, photograph, untrained_predictor
from lightmeter.console import Console, use_console
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.training.data.feature_cache import cached_features
from lightmeter.models.training.distributed import select_device
from lightmeter.models.training.fit import FitJob
from lightmeter.models.training.recipe import Network, read_recipe
from lightmeter.models.training.resource_usage import describe_device
from lightmeter.models.training.trainer import Trainer, set_trainable

EPOCHS = 3


def step_share(dataset: Dataset, device: str, partial: Path, name: str) -> dict[str, float]:
    """Return the share of the time of training epochs in which kernels run, and their rate."""
    recipe = read_recipe(name, ["weights="])
    assert isinstance(recipe.training, Network)
    rows = {split: dataset.rows(split) for split in ("train", "validation")}
    trainer = Trainer(untrained_predictor(recipe, device), FitJob(dataset, rows, 0, partial), recipe.training)
    phase = recipe.training.phases[-1]
    optimiser = torch.optim.AdamW(set_trainable(trainer.network, phase), 1e-4)
    on_gpu = device.startswith("cuda")
    kind = torch.profiler.ProfilerActivity.CUDA if on_gpu else torch.profiler.ProfilerActivity.CPU
    trainer.train_epoch(trainer.network, optimiser, phase)
    start = time.perf_counter()
    with torch.profiler.profile(activities=[kind]) as profile:
        for _ in range(EPOCHS):
            trainer.train_epoch(trainer.network, optimiser, phase)
    seconds = time.perf_counter() - start
    events = profile.key_averages()
    busy = sum(event.self_device_time_total if on_gpu else event.self_cpu_time_total for event in events) / 1e6
    return {"busy_share": busy / seconds, "photographs_per_s": EPOCHS * len(trainer.train_data) / seconds}


def feature_rates(dataset: Dataset, device: str) -> dict[str, float]:
    """Return the rate of features, decoding included, and the share of the time in which the network waited."""
    predictor = untrained_predictor(read_recipe("lightmeter"), device)
    cached_features(predictor, dataset, dataset.rows("validation"))  # loads kernels
    rows = dataset.rows("train")[2:]
    start = time.perf_counter()
    inputs = cached_features(predictor, dataset, rows)
    return {"photographs_per_s": len(rows) / (time.perf_counter() - start), "waiting_share": inputs.waiting_share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:NUMBER")
    parser.add_argument("--photographs", type=int, default=2000, help="number of photographs (default: 2000)")
    parser.add_argument("--recipe", default="haoran-mobilenet", help="recipe of the training step")
    parser.add_argument("--json", type=Path, help="file to write the result to, too")
    args = parser.parse_args()
    device = select_device(args.device)
    distinct = [photograph(seed) for seed in range(min(args.photographs, 100))]
    # The same pictures with other bytes behind their end: other photographs for the cache, soon made.
    files = [distinct[number % len(distinct)] + number.to_bytes(4, "big") for number in range(args.photographs)]
    with tempfile.TemporaryDirectory() as folder, use_console(Console(quiet=True)):
        os.environ["XDG_CACHE_HOME"] = folder
        dataset = make_dataset(files, Path(folder))
        result = {
            "device": describe_device(device),
            "torch": torch.__version__,
            "photographs": args.photographs,
            "features": feature_rates(dataset, device),
            "training_step": step_share(dataset, device, Path(folder) / "partial", args.recipe),
        }
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
