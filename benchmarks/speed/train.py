"""Measure the speed of training on this machine.

    make bench ONLY=training

Uses generated photographs (JPEG, 1024 × 683). The training step with inputs from the cache, with a batch that is
already on the device, and with decoding in every epoch. `benchmarks.speed.gpu` measures a GPU.
"""

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from benchmarks.speed.measurement import Benchmark, Contender, Goal
from lightmeter.labels.datasets.dataset import Dataset, read_dataset, write_dataset
from lightmeter.labels.datasets.manifest import MANIFEST_SCHEMA, label_column
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.models import architectures
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training.data.batches import Batch
from lightmeter.models.training.fit import FitJob
from lightmeter.models.training.methods import Network
from lightmeter.models.training.network.trainer import Trainer
from lightmeter.models.training.recipe import Recipe, read_recipe

CLASSES = ("fast", "slow")
PHOTOGRAPHS, EPOCHS = 128, 3
RECIPE = "haoran-cnn"
CACHED, READY, DECODING = "inputs from the cache", "a batch that is ready", "decoding in every epoch"


def photograph(seed: int) -> bytes:
    """Return a generated JPEG of 1024 × 683 pixels."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 255, (12, 18, 3), np.uint8)).resize((1024, 683), Image.Resampling.BICUBIC)
    pixels = np.asarray(blobs, np.float32) + rng.normal(0, 8, (683, 1024, 3))
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def make_dataset(files: list[bytes], folder: Path) -> Dataset:
    """Return a data set with all photographs in training, and the first two with other hashes in validation."""
    rows = []
    validation = [data + b"\0" for data in files[:2]]
    for number, data in enumerate([*files, *validation]):
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"{sha256[:2]}/{sha256}"
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
        split = "train" if number < len(files) else "validation"
        row: dict[str, object] = {"sha256": sha256, "path": path, "group": "photographer", "split": split}
        row |= {"format": "JPEG", "width": 1024, "height": 683, label_column("shutter"): CLASSES[number % 2]}
        rows.append(row)
    schema = pa.schema([*MANIFEST_SCHEMA, pa.field(label_column("shutter"), pa.string())])
    manifest = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    spec = DatasetSpec("data", "", "file:..", (TargetSpec("shutter", "1", CLASSES),))
    write_dataset(folder / "data", spec, manifest)
    return read_dataset(folder / "data")


def rate(count: int, function: Callable[[], object]) -> float:
    """Return items per second of a function that processes ``count`` items."""
    start = time.perf_counter()
    function()
    return count / (time.perf_counter() - start)


def untrained_predictor(recipe: Recipe, device: str, engine: EngineName = "torch") -> Predictor:
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
    return Predictor(spec, architectures.build(spec), device, engine)


class DecodingDataset(torch.utils.data.Dataset[Batch]):
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


class Steps:
    """Epochs of a recipe that is trained by gradient descent, from different sources of batches."""

    def __init__(self, folder: Path, recipe: str, device: str) -> None:
        files = [photograph(seed) for seed in range(PHOTOGRAPHS)]
        settings = read_recipe(recipe, ["weights="]).training
        if not isinstance(settings, Network):
            raise SystemExit(f"{recipe} is not trained by gradient descent.")
        dataset = make_dataset(files, folder)
        rows = {split: dataset.rows(split) for split in ("train", "validation")}
        predictor = untrained_predictor(read_recipe(recipe, ["weights="]), device)
        self.device, self.phase = predictor.device, settings.phases[0]
        self.trainer = Trainer(predictor, FitJob(dataset, rows, 0, folder / "partial"), settings)
        self.optimisation = self.trainer.optimisation(self.phase)
        cached = self.trainer.train_batches
        workers = os.cpu_count() or 1
        self.sources: dict[str, Iterable[Batch]] = {
            CACHED: cached,
            READY: [next(iter(cached))] * -(-PHOTOGRAPHS // settings.batch_size),
            DECODING: torch.utils.data.DataLoader(
                DecodingDataset(self.trainer, files), settings.batch_size, shuffle=True, num_workers=workers
            ),
        }
        self.epoch()

    def epoch(self) -> None:
        """Train for an epoch."""
        self.trainer.train_epoch(self.trainer.network, self.optimisation, self.phase)
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def epochs(self) -> None:
        """Train for some epochs."""
        for _ in range(EPOCHS):
            self.epoch()

    def measure(self, source: str) -> dict[str, float]:
        """Return the rate with a source of batches."""
        self.trainer.train_batches = self.sources[source]
        return {"photographs/s": rate(PHOTOGRAPHS * EPOCHS, self.epochs)}


@contextmanager
def contenders(folder: Path) -> Iterator[list[Contender]]:
    """Prepare the training; yield its sources of batches."""
    steps = Steps(folder, RECIPE, "cpu")
    yield [Contender(source, partial(steps.measure, source)) for source in steps.sources]


BENCHMARK = Benchmark(
    title="Training step",
    text=f"{EPOCHS} epochs of the recipe `{RECIPE}` with {PHOTOGRAPHS} generated photographs of 1024 × 683 pixels.",
    contenders=contenders,
    goals=[Goal("speed relative to a batch that is ready", CACHED, {"photographs/s": 0.95}, READY)],
)
