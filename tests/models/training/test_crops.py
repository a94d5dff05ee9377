"""Data sets of crops: two crops of one photograph are two examples."""

import hashlib
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from lightmeter.labels.datasets.dataset import Dataset, read_dataset, write_dataset
from lightmeter.labels.datasets.manifest import SPLITS, label_column, stops_column
from lightmeter.labels.datasets.spec import DatasetSpec
from tests.models.conftest import SHUTTER, SMALL, STOPS, jpeg, manifest
from tests.support import run_json

HALVES = {"fast": 0, "slow": 160}


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a data set of photographs with a smooth left half and a noisy right half; each half is an example."""
    folder = tmp_path_factory.mktemp("halves")
    store = folder / "store"
    store.mkdir()
    rows = []
    for index in range(18):
        image = Image.new("RGB", (320, 120))
        for left, noisy in ((0, False), (160, True)):
            image.paste(Image.open(io.BytesIO(jpeg(noisy=noisy, seed=index))), (left, 0))
        file = io.BytesIO()
        image.save(file, "PNG")
        sha256 = hashlib.sha256(file.getvalue()).hexdigest()
        path = f"{sha256[:2]}/{sha256}"
        (store / path).parent.mkdir(exist_ok=True)
        (store / path).write_bytes(file.getvalue())
        for shutter, left in HALVES.items():
            box = dict(zip(("crop_x", "crop_y", "crop_width", "crop_height"), (left, 0, 160, 120), strict=True))
            row = {"sha256": sha256, "path": path, "split": SPLITS[index % 3], "group": f"photographer {index % 6}"}
            row |= {"format": "PNG", "width": 320, "height": 120}
            label = {label_column("shutter"): shutter, stops_column("shutter"): STOPS[shutter]}
            rows.append({**row, **box, **label})
    rows.sort(key=lambda row: str(row["sha256"]))
    write_dataset(
        folder / "halves-v1", DatasetSpec("halves-v1", "", "file:../store", (SHUTTER,)), manifest(rows, (SHUTTER,))
    )
    return read_dataset(folder / "halves-v1")


@pytest.mark.parametrize("recipe", ["patches", "haoran-cnn"])
def test_crops_are_separate_examples(recipe: str, halves: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = {"patches": SMALL, "haoran-cnn": ["--set", "view_size=32", "--set", "epochs=1"]}[recipe]
    metrics = run_json("models", "train", recipe, "--data", halves.folder, "--out", run, *small)["metrics"]
    assert metrics["validation"]["photographs"] == 12
    scored = run_json("models", "evaluate", run, "--data", halves.folder)["metrics"]["test"]
    assert scored["photographs"] == 12
    if recipe == "patches":
        assert scored["targets"]["shutter"]["accuracy"]["value"] > 0.9
    rows = pq.read_table(run / "predictions.parquet").to_pylist()
    assert {tuple(row["crop"]) for row in rows} == {(0, 0, 160, 120), (160, 0, 160, 120)}
    runs = run_json("models", "compare", run, run)["targets"]["shutter"]
    assert runs["photographs"] == 12
