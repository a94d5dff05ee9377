"""How fast models train and predict here.

    python benchmarks/train.py [--photographs 128] [--recipe haoran-cnn] [--device auto]

Photographs are made on the spot (JPEG, 1024 × 683). Prints, in photographs a second and as medians of several rounds:
our training step fed from the cache, the same step fed with one batch that lies ready on the device, and fed by torch's
own DataLoader, which decodes at every epoch; on a GPU, the share of the time in which it computes. Then grids for
lebon-grid, against pixel by pixel, and against pixel by pixel into a table of pandas', as its author cuts them. Then
prediction, one at a time and in threads.
"""

import argparse
import hashlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

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
from lightmeter.models.runtime.predictor import Predictor, single_thread, to_tensors
from lightmeter.models.runtime.preprocess import preprocess
from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target
from lightmeter.models.training import devices
from lightmeter.models.training.feature_cache import Inputs
from lightmeter.models.training.fit import FitJob
from lightmeter.models.training.freezing import set_trainable
from lightmeter.models.training.recipe import Network, Recipe, read_recipe
from lightmeter.models.training.trainer import Trainer

ROUNDS = 3
CLASSES = ("fast", "slow")
GRID, GRIDS = 6, 256

Batch = tuple[np.ndarray, dict[str, Tensor]]


def photograph(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 255, (12, 18, 3), np.uint8)).resize((1024, 683), Image.Resampling.BICUBIC)
    pixels = np.asarray(blobs, np.float32) + rng.normal(0, 8, (683, 1024, 3))
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def frozen(files: list[bytes], folder: Path) -> Dataset:
    """Freeze a data set of photographs; each stands for training, the first two for validation as well."""
    rows = []
    for number, data in enumerate(files):
        sha256 = hashlib.sha256(data).hexdigest()
        (folder / sha256).write_bytes(data)
        told = {"sha256": sha256, "path": sha256, "group": "one", label_column("shutter"): CLASSES[number % 2]}
        rows += [{**told, "split": split} for split in ("train", "validation") if split == "train" or number < 2]
    schema = pa.schema([*MANIFEST_SCHEMA, pa.field(label_column("shutter"), pa.string())])
    manifest = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    write_dataset(folder / "data", DatasetSpec("data", "", "..", (TargetSpec("shutter", "1", CLASSES),)), manifest)
    return read_dataset(folder / "data")


def rate(count: int, work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return count / (time.perf_counter() - begun)


def median_rate(count: int, work: Callable[[], object]) -> float:
    return statistics.median(rate(count, work) for _ in range(ROUNDS))


def predictor_of(recipe: Recipe, device: str) -> Predictor:
    spec = ModelSpec(
        "benchmark", "1.0", "", recipe.name, recipe.architecture, recipe.cut, (Target("shutter", CLASSES),),
        recipe.architecture_options,
    )  # fmt: skip
    return Predictor(spec, architectures.build(spec), device)


class Ready:
    """One batch that lies ready on the device, again and again."""

    def __init__(self, batch: Batch, count: int) -> None:
        self.batch, self.count = batch, count

    def shuffled(self, _inputs: Inputs, _seed: int, *, flip: bool) -> Iterator[Batch]:
        del flip
        yield from [self.batch] * self.count


class Decoding(torch.utils.data.Dataset):
    """What torch's DataLoader takes: photographs that are decoded whenever they are asked for."""

    def __init__(self, predictor: Predictor, files: list[bytes], size: int) -> None:
        self.predictor, self.files, self.size = predictor, files, size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[int, dict[str, Tensor]]:
        inputs = self.predictor.preprocess(self.files[place]).inputs
        return place, {name: torch.from_numpy(values) for name, values in inputs.items()}

    def shuffled(self, _inputs: Inputs, _seed: int, *, flip: bool) -> Iterator[Batch]:
        del flip
        loader = torch.utils.data.DataLoader(self, self.size, shuffle=True, num_workers=os.cpu_count() or 1)
        settings, device = self.predictor.spec.preprocessing, self.predictor.device
        for places, taken in loader:
            arrays = {name: values.numpy() for name, values in taken.items()}
            yield places.numpy(), to_tensors(arrays, settings, device)


def training(files: list[bytes], name: str, device: str, folder: Path) -> None:
    recipe = read_recipe(name, ["weights="])
    settings = recipe.training
    if not isinstance(settings, Network):
        raise SystemExit(f"{name} is not trained by gradient descent.")
    dataset = frozen(files, folder)
    rows = {split: dataset.rows(split) for split in ("train", "validation")}
    predictor = predictor_of(recipe, device)
    descent = Trainer(predictor, FitJob(dataset, rows, 0, folder / "partial"), settings)
    optimiser = torch.optim.AdamW(set_trainable(descent.network, settings.phases[0]), 1e-4)
    ours = descent.batches
    first = next(ours.shuffled(descent.data["train"], 0, flip=False))
    feeds: dict[str, Any] = {  # all that an epoch asks of one is `shuffled`
        "from the cache": ours,
        "from a ready batch": Ready(first, -(-len(files) // settings.batch_size)),
        "decoding every epoch": Decoding(predictor, files, settings.batch_size),
    }

    def epoch() -> None:
        descent.epoch(descent.network, optimiser, settings.phases[0])
        if predictor.device.type == "cuda":
            torch.cuda.synchronize()

    epoch()
    found: dict[str, list[float]] = {feed: [] for feed in feeds}
    for _ in range(ROUNDS):
        for feed, batches in feeds.items():
            descent.batches = batches
            found[feed].append(rate(len(files), epoch))
    rates = {feed: statistics.median(each) for feed, each in found.items()}
    print(f"training ({name}, batches of {settings.batch_size}): "
          + ", ".join(f"{each:.1f}/s {feed}" for feed, each in rates.items())
          + f"; {rates['from the cache'] / rates['from a ready batch']:.0%} of the ready batch's speed")  # fmt: skip
    descent.batches = ours
    if predictor.device.type == "cuda":
        print(f"the GPU computes in {share_of_gpu(epoch):.0%} of the time")


def share_of_gpu(work: Callable[[], None]) -> float:
    """Return in what share of the time kernels run on the GPU."""
    begun = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        work()
    seconds = time.perf_counter() - begun
    return sum(event.self_device_time_total for event in seen.key_averages()) / 1e6 / seconds


def grids(files: list[bytes]) -> None:
    settings = Preprocessing(patches=GRIDS, patch_size=GRID, patch_selection="coloured")
    whole = median_rate(len(files), lambda: [preprocess(data, settings) for data in files])
    decoding = median_rate(len(files), lambda: [Image.open(io.BytesIO(data)).convert("RGB").load() for data in files])
    ours = GRIDS / (1 / whole - 1 / decoding)
    image = Image.open(io.BytesIO(files[0])).convert("RGB")
    pixels = np.asarray(image)
    places = [(left, top) for top in range(0, 60, GRID) for left in range(0, 600, GRID)]
    inside = [(row, column) for row in range(GRID) for column in range(GRID)]

    def pixel_by_pixel() -> None:
        for left, top in places:
            for row, column in inside:
                red, green, blue = image.getpixel((left + column, top + row))
                max(red, green, blue) - min(red, green, blue)

    def into_a_table() -> None:
        table = pd.DataFrame(columns=range(3 * GRID * GRID))
        for number, (left, top) in enumerate(places[:20]):
            for cell, (row, column) in enumerate(inside):
                for colour in range(3):
                    table.loc[number, 3 * cell + colour] = pixels[top + row, left + column, colour]

    slow, slowest = median_rate(len(places), pixel_by_pixel), rate(20, into_a_table)
    print(f"grids: {ours:,.0f}/s ({whole:.0f} photographs/s with decoding); pixel by pixel {slow:,.0f}/s "
          f"({ours / slow:.0f} times), into a table {slowest:,.0f}/s ({ours / slowest:,.0f} times)")  # fmt: skip


def prediction(files: list[bytes], device: str) -> None:
    for name in ("patches", "lightmeter"):
        predictor = predictor_of(read_recipe(name), device)
        few = files[:24]

        def one(data: bytes, predictor: Predictor = predictor) -> object:
            return predictor.predict(data)

        one(few[0])
        single = rate(len(few), lambda few=few, one=one: [one(data) for data in few])
        with single_thread(), ThreadPoolExecutor() as pool:
            threads = rate(len(few), lambda few=few, one=one, pool=pool: list(pool.map(one, few)))
        print(f"prediction ({name}), from bytes: {single:.1f}/s one at a time, {threads:.1f}/s in threads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=128)
    parser.add_argument("--recipe", default="haoran-cnn", help="whose training step is timed")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = devices.select_device(chosen.device)
    print(f"{devices.describe(device)}, torch {torch.__version__}")
    files = [photograph(seed) for seed in range(chosen.photographs)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        training(files, chosen.recipe, device, Path(folder))
    grids(files[:16])
    prediction(files, device)


if __name__ == "__main__":
    main()
