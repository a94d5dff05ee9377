"""Small data sets of generated JPEG files: noisy and smooth photographs."""

import csv
import functools
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from lightmeter.labels.datasets.dataset import Dataset, read_dataset, write_dataset
from lightmeter.labels.datasets.manifest import MANIFEST_SCHEMA, SPLITS, label_column, stops_column
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.models.architectures import efficientnet_lite, vgg
from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target
from tests.support import encode_image, run_text

SHUTTER = TargetSpec("shutter", "1", ("fast", "slow"), (-10.0, -4.0), "log2 s", determined_by=("exposure_time_s",))
MEDIUM = TargetSpec("medium", "1", ("film", "digital"))
CONCEPT = TargetSpec("concept", "1", ("grain", "dawn", "calm"), multilabel=True)
STOPS = {"fast": -10.0, "slow": -4.0}


@functools.cache
def jpeg(*, noisy: bool, seed: int, size: tuple[int, int] = (160, 120), exif: bool = False) -> bytes:
    """Return a JPEG of blurred colours, with or without strong noise.

    With ``exif`` its ISO is 3200 for noisy photographs and 100 for smooth ones, and its f-number is random.
    """
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(blobs.filter(ImageFilter.GaussianBlur(2)), np.float64)
    if noisy:
        pixels = pixels + rng.normal(0, 30, pixels.shape)
    tags = Image.Exif()
    if exif:
        tags.get_ifd(0x8769).update({0x8827: 3200 if noisy else 100, 0x829D: float(rng.choice([2.8, 4, 8]))})
    return encode_image(pixels.clip(0, 255).astype(np.uint8), quality=92, exif=tags)


def spec_of(architecture: str, **options: Any) -> ModelSpec:
    """Return a specification of an architecture with a view of 32 pixels."""
    preprocessing = Preprocessing(patches=0, view_size=32)
    targets = (Target("shutter", ("slow", "fast")),)
    return ModelSpec("x", "1.0", "0", "recipe", architecture, preprocessing, targets, options)


def make_dataset(
    folder: Path,
    *,
    count: int = 36,
    targets: Sequence[TargetSpec] = (SHUTTER,),
    damaged: Sequence[int] = (),
    exif: bool = False,
) -> Dataset:
    """Create a data set in which photographs with a slow shutter are noisy; six photographers, two in each split.

    Args:
        folder: Data set folder; its photo store is next to it.
        count: Number of photographs.
        targets: Of SHUTTER, MEDIUM and CONCEPT; every fifth photograph has no medium and no concepts, and is
            left out if it has no other target.
        damaged: Indices of photographs with a truncated file.
        exif: Whether the photographs have EXIF.
    """
    store = folder.parent / "store"
    store.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        noisy = index % 2 == 1
        data = jpeg(noisy=noisy, seed=index, exif=exif)
        data = data[: len(data) // 3] if index in damaged else data
        sha256 = hashlib.sha256(data).hexdigest()
        (store / sha256[:2]).mkdir(exist_ok=True)
        (store / sha256[:2] / sha256).write_bytes(data)
        row = _row(index, sha256, targets, noisy=noisy)
        if any(row[label_column(target.name)] is not None for target in targets):
            rows.append(row)
    rows.sort(key=lambda row: str(row["sha256"]))
    spec = DatasetSpec("noise-v1", "", "file:../store", tuple(targets))
    write_dataset(folder, spec, manifest(rows, targets))
    return read_dataset(folder)


def _row(index: int, sha256: str, targets: Sequence[TargetSpec], *, noisy: bool) -> dict[str, object]:
    shutter = "slow" if noisy else "fast"
    settings = [target.name for target in targets if target.ordinal]
    return {
        "sha256": sha256,
        "path": f"{sha256[:2]}/{sha256}",
        "split": SPLITS[index // 2 % 3],
        "group": f"photographer {index // 2 % 6}",
        "source": "folder",
        "format": "JPEG",
        "width": 160,
        "height": 120,
        "make": "Nikon",
        "model": "D750",
        "iso": 3200.0 if noisy else 100.0,
        **{label_column(name): shutter for name in settings},
        **{stops_column(name): STOPS[shutter] for name in settings},
        label_column("medium"): None if index % 5 == 0 else ("film" if noisy else "digital"),
        label_column("concept"): None if index % 5 == 0 else _concepts(index, noisy=noisy),
    }


def _concepts(index: int, *, noisy: bool) -> list[str]:
    """Return the concepts of a photograph: grain and calm are visible, dawn is not."""
    return (["grain"] if noisy else []) + (["dawn"] if index % 3 == 0 else []) + ([] if noisy else ["calm"])


def manifest(rows: list[dict[str, object]], targets: Sequence[TargetSpec]) -> pa.Table:
    """Return rows as a manifest."""
    labels = []
    for target in targets:
        kind = pa.list_(pa.string()) if target.multilabel else pa.string()
        labels.append(pa.field(label_column(target.name), kind))
        if not target.multilabel:
            labels.append(pa.field(stops_column(target.name), pa.float64()))
    schema = pa.schema([*MANIFEST_SCHEMA, *labels])
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


@pytest.fixture(autouse=True)
def _separate_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def _common_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def common_cache(_separate_cache: None, _common_cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a cache with the features and converted networks of other tests; not for tests of what is read when."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(_common_cache_folder))


@pytest.fixture
def small_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """EfficientNet-Lite with few of its later stages, and narrow VGG: the same kinds of layers in less time.

    No published weights fit them.
    """
    stages = efficientnet_lite._STAGES
    monkeypatch.setattr(efficientnet_lite, "_STAGES", (*stages[:3], stages[-1]))
    monkeypatch.setattr(vgg, "_BLOCKS", tuple(tuple(width // 16 for width in widths) for widths in vgg._BLOCKS))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a data set with one target, shutter."""
    return make_dataset(tmp_path_factory.mktemp("data") / "noise-v1")


def settings(*changes: str) -> list[str]:
    """Return command-line options that change settings of a recipe."""
    return [word for change in changes for word in ("--set", change)]


SMALL = [*settings("patches=2", "patch_size=64", "penalties=[1.0, 0.1]"), "--device", "cpu"]
"""Options with which the recipe patches trains within a second."""

FROZEN_EPOCH = "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}]"

TINY = {
    "patches": SMALL,
    "ramos-probe": settings("view_size=64", "weights=", "penalties=[1e-2, 1e-4]"),
    "lightmeter": [*SMALL, *settings("weights=", "view_weights=", "view_size=64")],
    "lightmeter-attention": settings("weights=", "patches=2", "patch_size=32", "view_size=32", "width=16", "epochs=2"),
    "quality-features": settings("iterations=20"),
    "gupta-kannan": settings("weights=", "freeze=[]", "patches=2", "patch_size=48", "filters=4", "dense=8", "epochs=1"),
    "chavez-heras": settings("weights=", "view_size=32", "dense=8", "phases=[{epochs=1, learning_rate=1e-3}]"),
    "haoran-cnn": settings("view_size=32", "epochs=2"),
    "haoran-mobilenet": settings(
        "weights=",
        "view_size=32",
        "dense=8",
        "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}, {epochs=1, learning_rate=1e-4}]",
    ),
    "lebon-grid": settings("patches=64", "epochs=2"),
    "lederer-exif": settings("exif=['f_number', 'iso']", "epochs=2"),
    "lederer-image": settings("weights=", "view_size=32", FROZEN_EPOCH),
    "lederer-fusion": settings("exif=['f_number', 'iso']", "weights=", "view_size=32", FROZEN_EPOCH),
}
"""Options with which each recipe trains within seconds."""

CNN = ["haoran-cnn", *settings("view_size=32", "epochs=6", "patience=6"), "--device", "cpu"]


@pytest.fixture(scope="session")
def trained(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory, _common_cache_folder: Path) -> Path:
    """Return a run trained on the data set; it must not be changed."""
    run = tmp_path_factory.mktemp("runs") / "noise"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(_common_cache_folder))
        run_text("models", "train", "patches", "--data", dataset.folder, "--out", run, "--quiet", *SMALL)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the trained run."""
    return Path(shutil.copytree(trained, tmp_path / "noise"))


def history(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's ``history.csv``."""
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))
