"""Data sets of parts of photographs: two parts of one photograph are two examples."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lightmeter.labels.datasets.dataset import (
    SPLITS,
    Dataset,
    DatasetSpec,
    label_column,
    read_dataset,
    stops_column,
    write_dataset,
)
from lightmeter.models.runtime.preprocess import InvalidPhoto, preprocess
from lightmeter.models.runtime.spec import Preprocessing
from tests.support import run_json

from .conftest import SHUTTER, SMALL, STOPS, jpeg, manifest

HALVES = {"fast": 0, "slow": 160}


@pytest.fixture
def halves(tmp_path: Path) -> Dataset:
    """Photographs whose left half is smooth and whose right half is noisy; each half is an example."""
    store = tmp_path / "store"
    store.mkdir()
    rows = []
    for index in range(18):
        picture = Image.new("RGB", (320, 120))
        for left, noisy in ((0, False), (160, True)):
            picture.paste(Image.open(io.BytesIO(jpeg(noisy=noisy, seed=index))), (left, 0))
        file = io.BytesIO()
        picture.save(file, "PNG")
        sha256 = hashlib.sha256(file.getvalue()).hexdigest()
        (store / sha256).write_bytes(file.getvalue())
        for shutter, left in HALVES.items():
            box = dict(zip(("crop_x", "crop_y", "crop_width", "crop_height"), (left, 0, 160, 120), strict=True))
            row = {"sha256": sha256, "path": sha256, "split": SPLITS[index % 3], "group": f"photographer {index % 6}"}
            label = {label_column("shutter"): shutter, stops_column("shutter"): STOPS[shutter]}
            rows.append({**row, **box, **label})
    rows.sort(key=lambda row: str(row["sha256"]))
    write_dataset(
        tmp_path / "halves-v1", DatasetSpec("halves-v1", "", "../store", (SHUTTER,)), manifest(rows, (SHUTTER,))
    )
    return read_dataset(tmp_path / "halves-v1")


@pytest.mark.parametrize("recipe", ["patches", "haoran-cnn"])
def test_each_part_is_an_example_of_its_own(recipe: str, halves: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = {"patches": SMALL, "haoran-cnn": ["--set", "view_size=64", "--set", "epochs=2"]}[recipe]
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


def test_a_part_is_cut_as_the_photograph_is_stored() -> None:
    data = jpeg(noisy=True, seed=4)
    whole = np.asarray(Image.open(io.BytesIO(data)))
    part = preprocess(data, Preprocessing(patches=0, view_size=64), (10, 20, 64, 64))
    assert (part.width, part.height) == (64, 64)
    assert np.array_equal(part.inputs["view"].transpose(1, 2, 0), whole[20:84, 10:74])


@pytest.mark.parametrize("box", [(150, 0, 20, 20), (-1, 0, 64, 64), (0, 0, 0, 10)])
def test_a_part_outside_of_the_photograph_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidPhoto, match="is not within 160 × 120 pixels") as caught:
        preprocess(jpeg(noisy=True, seed=4), Preprocessing(), box)
    assert caught.value.status == 422
