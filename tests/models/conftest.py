"""Small data sets of real JPEG files, made on the spot: noisy pictures and smooth ones."""

import csv
import hashlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from lightmeter.labels.datasets.dataset import (
    SPLITS,
    Dataset,
    DatasetSpec,
    TargetSpec,
    label_column,
    read_dataset,
    stops_column,
    write_dataset,
)
from lightmeter.labels.datasets.photographs import MANIFEST_SCHEMA
from tests.support import run_text

SHUTTER = TargetSpec("shutter", "1", ("fast", "slow"), (-10.0, -4.0), "log2 s", determined_by=("exposure_time_s",))
MEDIUM = TargetSpec("medium", "1", ("film", "digital"))
CONCEPT = TargetSpec("concept", "1", ("grain", "dawn", "calm"), multilabel=True)
STOPS = {"fast": -10.0, "slow": -4.0}


def jpeg(*, noisy: bool, seed: int, size: tuple[int, int] = (160, 120), exif: bool = False) -> bytes:
    """Return a photograph-like JPEG: soft blobs of colour, with strong sensor noise or without.

    Its EXIF, if it has any, says ISO 3200 of noisy pictures and 100 of smooth ones, and some f-number.
    """
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(blobs.filter(ImageFilter.GaussianBlur(2)), np.float64)
    if noisy:
        pixels = pixels + rng.normal(0, 30, pixels.shape)
    content = io.BytesIO()
    tags = Image.Exif()
    if exif:
        tags.get_ifd(0x8769).update({0x8827: 3200 if noisy else 100, 0x829D: float(rng.choice([2.8, 4, 8]))})
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=92, exif=tags)
    return content.getvalue()


def make_dataset(
    folder: Path,
    *,
    count: int = 36,
    targets: Sequence[TargetSpec] = (SHUTTER,),
    damaged: Sequence[int] = (),
    exif: bool = False,
) -> Dataset:
    """Freeze a data set in which noise tells a slow shutter; six photographers, two a split.

    Args:
        folder: of the data set; its store lies beside it.
        count: number of photographs.
        targets: of SHUTTER, MEDIUM and CONCEPT; every fifth photograph lacks a medium and concepts.
        damaged: indices of photographs whose file is cut off.
        exif: whether the photographs have EXIF.
    """
    store = folder.parent / "store"
    store.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        noisy = index % 2 == 1
        data = jpeg(noisy=noisy, seed=index, exif=exif)
        data = data[: len(data) // 3] if index in damaged else data
        sha256 = hashlib.sha256(data).hexdigest()
        (store / sha256).write_bytes(data)
        rows.append(_row(index, sha256, targets, noisy=noisy))
    rows.sort(key=lambda row: str(row["sha256"]))
    spec = DatasetSpec("noise-v1", "", "../store", tuple(targets))
    write_dataset(folder, spec, manifest(rows, targets))
    return read_dataset(folder)


def _row(index: int, sha256: str, targets: Sequence[TargetSpec], *, noisy: bool) -> dict[str, object]:
    shutter = "slow" if noisy else "fast"
    settings = [target.name for target in targets if target.ordinal]
    return {
        "sha256": sha256,
        "path": sha256,
        "split": SPLITS[index // 2 % 3],
        "group": f"photographer {index // 2 % 6}",
        "source": "folder",
        "make": "Nikon",
        "model": "D750",
        "iso": 3200.0 if noisy else 100.0,
        **{label_column(name): shutter for name in settings},
        **{stops_column(name): STOPS[shutter] for name in settings},
        label_column("medium"): None if index % 5 == 0 else ("film" if noisy else "digital"),
        label_column("concept"): None if index % 5 == 0 else _concepts(index, noisy=noisy),
    }


def _concepts(index: int, *, noisy: bool) -> list[str]:
    """Return what a photograph shows: grain or calm is to be seen, dawn is not."""
    return (["grain"] if noisy else []) + (["dawn"] if index % 3 == 0 else []) + ([] if noisy else ["calm"])


def manifest(rows: list[dict[str, object]], targets: Sequence[TargetSpec]) -> pa.Table:
    """Return rows as a data set's manifest has them."""
    labels = []
    for target in targets:
        kind = pa.list_(pa.string()) if target.multilabel else pa.string()
        labels.append(pa.field(label_column(target.name), kind))
        if not target.multilabel:
            labels.append(pa.field(stops_column(target.name), pa.float64()))
    schema = pa.schema([*MANIFEST_SCHEMA, *labels])
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is cut or fetched stays on this machine, or comes from another test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set with one target, shutter."""
    return make_dataset(tmp_path_factory.mktemp("data") / "noise-v1")


SMALL = ["--set", "patches=2", "--set", "patch_size=64", "--set", "penalties=[1.0, 0.1]", "--device", "cpu"]
"""Options that make training a matter of a second."""

TINY = {
    "patches": SMALL,
    "lightmeter": [*SMALL, "--set", "view_size=64"],
    "lightmeter-attention": [
        *(
            "--set",
            "patches=4",
            "--set",
            "patch_size=64",
            "--set",
            "view_size=64",
            "--set",
            "width=16",
            "--set",
            "epochs=2",
        ),
    ],
    "quality-features": ["--set", "iterations=20"],
    "gupta-kannan": [
        *("--set", "weights=", "--set", "freeze=[]", "--set", "patches=2", "--set", "patch_size=48"),
        *("--set", "filters=4", "--set", "dense=8", "--set", "epochs=1"),
    ],
    "chavez-heras": [
        *("--set", "weights=", "--set", "view_size=32", "--set", "dense=8"),
        *("--set", "phases=[{epochs=1, learning_rate=1e-3}]"),
    ],
    "haoran-cnn": ["--set", "view_size=32", "--set", "epochs=2"],
    "haoran-mobilenet": [
        *("--set", "weights=", "--set", "view_size=32", "--set", "dense=8"),
        *("--set", "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}, {epochs=1, learning_rate=1e-4}]"),
    ],
    "lebon-grid": ["--set", "patches=64", "--set", "epochs=2"],
    "lederer-exif": ["--set", "exif=['f_number', 'iso']", "--set", "epochs=2"],
    "lederer-image": ["--set", "view_size=32", "--set", "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}]"],
    "lederer-fusion": [
        *("--set", "exif=['f_number', 'iso']", "--set", "view_size=32"),
        *("--set", "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}]"),
    ],
}
"""The same for each recipe."""

CNN = ["haoran-cnn", "--set", "view_size=32", "--set", "epochs=6", "--set", "patience=6", "--device", "cpu"]


@pytest.fixture(scope="session")
def trained(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on the data set; copy it before you change it."""
    run = tmp_path_factory.mktemp("runs") / "noise"
    run_text("models", "train", "patches", "--data", dataset.folder, "--out", run, "--quiet", *SMALL)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run."""
    return Path(shutil.copytree(trained, tmp_path / "noise"))


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))
