"""The public functions of lightmeter.models."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from lightmeter import models
from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset, read_dataset, write_dataset
from lightmeter.models.training.recipe import read_recipe
from lightmeter.models.training.runs import spec_of
from lightmeter.store.local import LocalStore


def test_predictor_takes_path_bytes_and_pillow_image(trained: Path, dataset: Dataset) -> None:
    predictor = models.load_predictor(trained)
    photograph = dataset.store.root / dataset.rows("test")[0]["path"]
    prediction = predictor.predict(photograph)
    assert prediction.predictions["shutter"].label in {"fast", "slow"}
    for photo in (str(photograph), photograph.read_bytes(), Image.open(photograph)):
        assert predictor.predict(photo) == prediction


def test_train_and_evaluate_return_metrics(dataset: Dataset, tmp_path: Path) -> None:
    """Trained on two data sets, with a photo store each."""
    halves = [write_half(dataset, tmp_path / name, half) for half, name in enumerate(("old-v1", "new-v1"))]
    recipe = read_recipe("quality-features", ["iterations=3"])
    run = models.train(recipe, halves, tmp_path / "run", device="cpu")
    assert run.folder == tmp_path / "run"
    assert "test" not in run.metrics
    metrics = models.evaluate(run.folder, [half.folder for half in reversed(halves)], device="cpu")
    assert metrics["test"]["photographs"] == 12
    assert list(spec_of(run.folder).datasets.items()) == [(h.spec.name, h.spec.manifest_sha256) for h in halves]
    assert "--data old-v1 --data new-v1 --seed 0" in (run.folder / "recipe.toml").read_text()
    for document in ("README.md", "report.html"):
        assert all(half.spec.manifest_sha256[:16] in (run.folder / document).read_text() for half in halves)
    with pytest.raises(UsageError, match="not trained on this version of the data set old-v1"):
        models.evaluate(run.folder, halves[0], device="cpu")


def write_half(dataset: Dataset, folder: Path, half: int) -> Dataset:
    """Write a data set of half of the photographs of each class and photographer, with a photo store of its own."""
    manifest = dataset.manifest.filter(pa.array([row // 2 % 2 == half for row in range(dataset.manifest.num_rows)]))
    store = LocalStore(folder / "store")
    store.create()
    for sha256 in manifest["sha256"].to_pylist():
        store.put(sha256, dataset.read(sha256))
    write_dataset(folder, replace(dataset.spec, name=folder.name, store="file:store"), manifest)
    return read_dataset(folder)


def test_unknown_run_raises_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run folder"):
        models.load_predictor(tmp_path)
