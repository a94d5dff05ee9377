"""Explanations: patch effects and saliency maps."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.analysis import saliency
from lightmeter.models.analysis.explain import explain
from lightmeter.models.runtime.predictor import Predictor
from tests.models.conftest import jpeg
from tests.support import run_error, run_json, run_text


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A noisy photograph outside the data set."""
    file = tmp_path / "photograph.jpg"
    file.write_bytes(jpeg(noisy=True, seed=500))
    return file


def test_explain_reports_patch_effects_and_writes_plot(trained: Path, photograph: Path, tmp_path: Path) -> None:
    (result,) = run_json("models", "explain", trained, photograph, "--out", tmp_path / "explained")
    assert result["class"] == "slow"
    assert len(result["patch_effects"]) == 2
    assert Path(result["plot"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.plots
@pytest.mark.parametrize("method", ["gradient", "activations", "integrated-gradients", "smoothgrad"])
def test_each_saliency_method_gives_plot(
    method: str, trained: Path, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saliency, "_PATH_STEPS", (4,))
    if method in ("integrated-gradients", "smoothgrad"):
        pytest.importorskip("captum")
    (result,) = run_json("models", "explain", trained, photograph, "--method", method, "--out", tmp_path / "explained")
    assert result["method"] == method
    assert ("completeness_error" in result) == (method == "integrated-gradients")
    with Image.open(result["plot"]) as plot:
        assert min(plot.size) > 100


def test_unavailable_saliency_methods_raise_error(
    trained: Path, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["models", "explain", trained, photograph, "--out", tmp_path / "explained", "--method"]
    assert "did you mean activations?" in run_error(*command, "activation")
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert "pip install 'lightmeter[captum]'" in run_error(*command, "smoothgrad")


@pytest.mark.usefixtures("small_backbones")
def test_activations_give_a_map_per_patch(dataset: Dataset, photograph: Path, tmp_path: Path) -> None:
    small = ["weights=", "freeze=[]", "patches=3", "patch_size=64", "filters=4", "dense=8", "epochs=1"]
    settings = [argument for setting in small for argument in ("--set", setting)]
    run = tmp_path / "run"
    run_json("models", "train", "gupta-kannan", "--data", dataset.folder, "--out", run, *settings)
    predictor = Predictor.load(run)
    (target,) = predictor.spec.targets
    maps = explain(predictor, predictor.preprocess(photograph.read_bytes()), target, "activations").maps
    assert maps["patches"].shape == (3, 64, 64)
    assert 0 <= maps["patches"].min() <= maps["patches"].max() == pytest.approx(1.0)


def test_models_without_images_cannot_be_explained(dataset: Dataset, photograph: Path, tmp_path: Path) -> None:
    trees = tmp_path / "trees"
    options = ["--data", dataset.folder, "--out", trees, "--set", "iterations=5", "--quiet"]
    run_text("models", "train", "quality-features", *options)
    assert "uses no images" in run_error("models", "explain", trees, photograph)
    assert "no features to compare" in run_error("models", "similar", trees, photograph, "--data", dataset.folder)


def test_plots_never_replace_each_other_and_bad_files_stop_no_others(
    trained: Path, photograph: Path, tmp_path: Path
) -> None:
    other = tmp_path / "folder" / photograph.name
    other.parent.mkdir()
    other.write_bytes(jpeg(noisy=False, seed=77))
    missing, long = tmp_path / "missing.jpg", tmp_path / f"{'é' * 120}.jpg"
    long.write_bytes(photograph.read_bytes())
    files = [photograph, missing, other, long]
    results = run_json("models", "explain", trained, *files, "--out", tmp_path / "explained")
    assert results[1] == {"file": str(missing), "error": {"status": 404, "reason": "There is no such file."}}
    plots = {result["plot"] for result in results if "plot" in result}
    assert len(plots) == 3
    assert {str(path) for path in (tmp_path / "explained").iterdir()} == plots
    run_json("models", "explain", trained, missing, "--out", tmp_path / "none", code=1)
    (tmp_path / "file").touch()
    assert "Cannot write to" in run_error(
        "models", "explain", trained, photograph, "--out", tmp_path / "file" / "plots"
    )
