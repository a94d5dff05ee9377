"""Permutation importance of EXIF tags."""

from pathlib import Path

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
