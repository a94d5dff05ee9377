"""Permutation importance, and search by similarity."""

from pathlib import Path

import pytest

from lightmeter.labels.datasets.dataset import Dataset
from tests.models.conftest import make_dataset
from tests.support import run_error, run_json


def test_informative_tag_has_the_highest_importance(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    tagged = make_dataset(tmp_path / "data" / "tagged-v1", exif=True)
    exif_run = tmp_path / "exif"
    settings = ["--set", "exif=['f_number', 'iso']", "--set", "epochs=40", "--set", "batch_size=4"]
    run_json("models", "train", "lederer-exif", "--data", tagged.folder, "--out", exif_run, *settings)
    result = run_json("models", "importance", exif_run, "--data", tagged.folder, "--repeats", "5")
    assert (result["target"], result["split"]) == ("shutter", "validation")
    assert result["importances"]["iso"]["value"] > 0.2 > result["importances"]["f_number"]["value"]
    assert list(result["importances"]) == ["iso", "f_number"]
    assert Path(result["plot"]).is_file()
    assert "neither EXIF tags nor image statistics" in run_error("models", "importance", run, "--data", dataset.folder)


def test_most_similar_photograph_is_the_photograph_itself(trained: Path, dataset: Dataset) -> None:
    row = dataset.rows("test")[0]
    results = run_json(
        *("models", "similar", trained, dataset.store / row["path"], "--data", dataset.folder, "--count", 5)
    )
    assert results[0]["sha256"] == row["sha256"]
    similarities = [result["similarity"] for result in results]
    assert similarities[0] == pytest.approx(1.0, abs=1e-5)
    assert similarities == sorted(similarities, reverse=True)
    assert len(results) == 5
