"""The public functions of lightmeter.models."""

from pathlib import Path

import pytest
from PIL import Image

from lightmeter import models
from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.training.recipe import read_recipe


def test_predictor_takes_path_bytes_and_pillow_image(trained: Path, dataset: Dataset) -> None:
    predictor = models.load_predictor(trained)
    photograph = dataset.store.root / dataset.rows("test")[0]["path"]
    prediction = predictor.predict(photograph)
    assert prediction.predictions["shutter"].label in {"fast", "slow"}
    for photo in (str(photograph), photograph.read_bytes(), Image.open(photograph)):
        assert predictor.predict(photo) == prediction


def test_train_and_evaluate_return_metrics(dataset: Dataset, tmp_path: Path) -> None:
    recipe = read_recipe("quality-features", ["iterations=3"])
    run = models.train(recipe, dataset, tmp_path / "run", device="cpu")
    assert run.folder == tmp_path / "run"
    assert "test" not in run.metrics
    metrics = models.evaluate(run.folder, dataset.folder, device="cpu")
    assert metrics["test"]["photographs"] == 12


def test_unknown_run_raises_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run folder"):
        models.load_predictor(tmp_path)
