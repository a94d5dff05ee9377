"""Measure the speed of training and prediction on this machine.

    python -m benchmarks.train [--photographs 128] [--recipe haoran-cnn] [--device auto]

Uses generated photographs (JPEG, 1024 × 683). Prints medians in photographs per second: the training step with inputs
from the cache, with a batch that is already on the device, and with decoding in every epoch; on a GPU also its
utilisation. Next the extraction of the pixel grids of lebon-grid, compared with a loop over pixels and with a pandas
table that is filled cell by cell, as in the original work. Last prediction, sequential and in threads.
"""

import argparse
import hashlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from PIL import Image

from lightmeter.labels.datasets.dataset import (
    Dataset,
    DatasetSpec,
    TargetSpec,
    label_column,
    read_dataset,
    write_dataset,
)
from lightmeter.labels.datasets.photographs import MANIFEST_SCHEMA
from lightmeter.models import architectures
from lightmeter.models.runtime.predictor import Predictor, single_thread
from lightmeter.models.runtime.preprocess import preprocess
from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target
from lightmeter.models.training.batches import Batch
from lightmeter.models.training.distributed import select_device
from lightmeter.models.training.fit import FitJob
from lightmeter.models.training.recipe import Network, Recipe, read_recipe
from lightmeter.models.training.resource_usage import describe_device
from lightmeter.models.training.trainer import Trainer, set_trainable

ROUNDS = 3
CLASSES = ("fast", "slow")
GRID_SIZE, GRIDS = 6, 256


def photograph(seed: int) -> bytes:
    """Return a generated JPEG of 1024 × 683 pixels."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 255, (12, 18, 3), np.uint8)).resize((1024, 683), Image.Resampling.BICUBIC)
    pixels = np.asarray(blobs, np.float32) + rng.normal(0, 8, (683, 1024, 3))
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def make_dataset(files: list[bytes], folder: Path) -> Dataset:
    """Return a data set with all photographs in training and the first two in validation as well."""
    rows = []
    for number, data in enumerate(files):
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"{sha256[:2]}/{sha256}"
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
        row = {"sha256": sha256, "path": path, "group": "photographer", label_column("shutter"): CLASSES[number % 2]}
        rows += [{**row, "split": split} for split in ("train", "validation") if split == "train" or number < 2]
    schema = pa.schema([*MANIFEST_SCHEMA, pa.field(label_column("shutter"), pa.string())])
    manifest = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    spec = DatasetSpec("data", "", "..", (TargetSpec("shutter", "1", CLASSES),))
    write_dataset(folder / "data", spec, manifest)
    return read_dataset(folder / "data")


def rate(count: int, function: Callable[[], object]) -> float:
    """Return items per second of a function that processes ``count`` items."""
    start = time.perf_counter()
    function()
    return count / (time.perf_counter() - start)


def median_rate(count: int, function: Callable[[], object]) -> float:
    """Return the median rate of several rounds."""
    return statistics.median(rate(count, function) for _ in range(ROUNDS))


def untrained_predictor(recipe: Recipe, device: str) -> Predictor:
    """Return a predictor with random weights."""
    spec = ModelSpec(
        name="benchmark",
        version="1.0",
        lightmeter="",
        recipe=recipe.name,
        architecture=recipe.architecture,
        preprocessing=recipe.preprocessing,
        targets=(Target("shutter", CLASSES),),
        architecture_options=recipe.architecture_options,
    )
    return Predictor(spec, architectures.build(spec), device)


class DecodingDataset(torch.utils.data.Dataset):
    """Photographs that are decoded in every epoch."""

    def __init__(self, trainer: Trainer, files: list[bytes]) -> None:
        self.trainer, self.files = trainer, files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Batch:
        inputs = self.trainer.predictor.preprocess(self.files[index]).inputs
        labels = self.trainer.train_data[np.asarray([index])]
        tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
        first = [{name: values[0] for name, values in part.items()} for part in (labels.classes, labels.stops)]
        return Batch(tensors, *first)


def benchmark_training(files: list[bytes], name: str, device: str, folder: Path) -> None:
    """Print the speed of a training step with each source of batches."""
    recipe = read_recipe(name, ["weights="])
    settings = recipe.training
    if not isinstance(settings, Network):
        raise SystemExit(f"{name} is not trained by gradient descent.")
    dataset = make_dataset(files, folder)
    rows = {split: dataset.rows(split) for split in ("train", "validation")}
    predictor = untrained_predictor(recipe, device)
    trainer = Trainer(predictor, FitJob(dataset, rows, 0, folder / "partial"), settings)
    optimiser = torch.optim.AdamW(set_trainable(trainer.network, settings.phases[0]), 1e-4)
    cached = trainer.train_batches
    first = next(iter(cached))
    sources: dict[str, Iterable[Batch]] = {
        "from the cache": cached,
        "from a ready batch": [first] * -(-len(files) // settings.batch_size),
        "decoding in every epoch": torch.utils.data.DataLoader(
            DecodingDataset(trainer, files), settings.batch_size, shuffle=True, num_workers=os.cpu_count() or 1
        ),
    }

    def epoch() -> None:
        trainer.train_epoch(trainer.network, optimiser, settings.phases[0])
        if predictor.device.type == "cuda":
            torch.cuda.synchronize()

    epoch()
    rounds: dict[str, list[float]] = {source: [] for source in sources}
    for _ in range(ROUNDS):
        for source, batches in sources.items():
            trainer.train_batches = batches
            rounds[source].append(rate(len(files), epoch))
    rates = {source: statistics.median(values) for source, values in rounds.items()}
    print(f"training ({name}, batches of {settings.batch_size}): "
          + ", ".join(f"{value:.1f}/s {source}" for source, value in rates.items())
          + f"; {rates['from the cache'] / rates['from a ready batch']:.0%} of that with a ready batch")  # fmt: skip
    trainer.train_batches = cached
    if predictor.device.type == "cuda":
        print(f"GPU utilisation: {gpu_utilisation(epoch):.0%}")


def gpu_utilisation(function: Callable[[], None]) -> float:
    """Return the share of time in which kernels run on the GPU."""
    start = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        function()
    seconds = time.perf_counter() - start
    return sum(event.self_device_time_total for event in profile.key_averages()) / 1e6 / seconds


def benchmark_grids(files: list[bytes]) -> None:
    """Print the number of pixel grids extracted per second, compared with simple loops."""
    settings = Preprocessing(patches=GRIDS, patch_size=GRID_SIZE, patch_selection="coloured")
    photographs = median_rate(len(files), lambda: [preprocess(data, settings) for data in files])
    decoding = median_rate(len(files), lambda: [Image.open(io.BytesIO(data)).convert("RGB").load() for data in files])
    grids_rate = GRIDS / (1 / photographs - 1 / decoding)
    image = Image.open(io.BytesIO(files[0])).convert("RGB")
    pixels = np.asarray(image)
    corners = [(left, top) for top in range(0, 60, GRID_SIZE) for left in range(0, 600, GRID_SIZE)]
    offsets = [(row, column) for row in range(GRID_SIZE) for column in range(GRID_SIZE)]

    def loop_over_pixels() -> None:
        for left, top in corners:
            for row, column in offsets:
                red, green, blue = image.getpixel((left + column, top + row))
                max(red, green, blue) - min(red, green, blue)

    def fill_table() -> None:
        table = pd.DataFrame(columns=range(3 * GRID_SIZE * GRID_SIZE))
        for number, (left, top) in enumerate(corners[:20]):
            for cell, (row, column) in enumerate(offsets):
                for colour in range(3):
                    table.loc[number, 3 * cell + colour] = pixels[top + row, left + column, colour]

    loop, table = median_rate(len(corners), loop_over_pixels), rate(20, fill_table)
    print(f"grids: {grids_rate:,.0f}/s ({photographs:.0f} photographs/s with decoding)")
    print(f"loop over pixels: {loop:,.0f}/s ({grids_rate / loop:.0f} times slower)")
    print(f"pandas table: {table:,.0f}/s ({grids_rate / table:,.0f} times slower)")


def benchmark_prediction(files: list[bytes], device: str) -> None:
    """Print the speed of prediction from bytes."""
    for name in ("patches", "lightmeter"):
        predictor = untrained_predictor(read_recipe(name), device)
        sample = files[:24]
        predictor.predict(sample[0])
        single = rate(len(sample), lambda: [predictor.predict(data) for data in sample])  # noqa: B023 - called at once
        with single_thread(), ThreadPoolExecutor() as pool:
            threads = rate(len(sample), lambda: list(pool.map(predictor.predict, sample)))  # noqa: B023
        print(f"prediction ({name}), from bytes: {single:.1f}/s sequential, {threads:.1f}/s in threads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=128, help="number of photographs (default: 128)")
    parser.add_argument("--recipe", default="haoran-cnn", help="recipe of the training step (default: haoran-cnn)")
    parser.add_argument("--device", default="auto", help="device of PyTorch (default: auto)")
    args = parser.parse_args()
    device = select_device(args.device)
    print(f"{describe_device(device)}, torch {torch.__version__}")
    files = [photograph(seed) for seed in range(args.photographs)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        benchmark_training(files, args.recipe, device, Path(folder))
    benchmark_grids(files[:16])
    benchmark_prediction(files, device)


if __name__ == "__main__":
    main()
