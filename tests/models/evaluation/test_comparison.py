"""Comparison of runs."""

from pathlib import Path

import pytest

from lightmeter.labels.datasets.dataset import Dataset
from tests.models.conftest import CONCEPT, make_dataset
from tests.plots import draw_plots
from tests.support import run_error, run_json, run_text


@pytest.mark.usefixtures("common_cache")
def test_runs_are_compared_on_the_same_photographs(
    run: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has no predictions for the test split" in run_error("models", "compare", run, run)
    grid = tmp_path / "grid"
    small = ["--set", "patches=32", "--set", "epochs=1", "--device", "cpu"]
    run_json("models", "train", "lebon-grid", "--data", dataset.folder, "--out", grid, *small)
    for folder in (run, grid):
        run_json("models", "evaluate", folder, "--data", dataset.folder)
    comparison = run_json("models", "compare", run, grid)
    runs = comparison["targets"]["shutter"]["runs"]
    assert comparison["reference"] == "noise"
    assert runs["noise"]["difference"] == {}
    difference = runs["grid"]["difference"]["accuracy"]
    assert difference["value"] == runs["grid"]["accuracy"]["value"] - runs["noise"]["accuracy"]["value"]
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert runs["grid"]["seconds"] > 0
    assert runs["grid"]["seconds_difference_percent"] is not None
    page = tmp_path / "comparison.html"
    draw_plots(monkeypatch)
    run_text("models", "compare", run, grid, "--quiet", "--out", page)
    assert page.read_text().count('<g id="figure_1">') == 3
    assert "training time (s)" in page.read_text()


def test_many_runs_are_rows_of_the_table(trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "comparison.html"
    run_json("models", "compare", *([trained] * 5), "--split", "validation", "--out", page)
    text = page.read_text()
    assert text.index("<th>run</th>") < text.index("<td>noise (1)</td>") < text.index("<td>noise (5)</td>")
    assert "100.0 %\n[15.8, 100.0]\nΔ +0.0 points\n[+0.0, +0.0]" in text


def test_single_run_raises_error(run: Path) -> None:
    assert "at least two runs" in run_error("models", "compare", run)


@pytest.mark.usefixtures("small_backbones")
def test_image_tags_and_fusion_are_compared_on_a_page(tmp_path: Path) -> None:
    """Differences of macro F1 and training time between the three models of Lederer et al."""
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,), exif=True)
    tags, view = ["--set", "exif=['iso', 'f_number']"], ["--set", "view_size=32", "--set", "weights="]
    short = ["--set", "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}]"]
    settings = {
        "lederer-image": [*view, *short],
        "lederer-exif": [*tags, "--set", "epochs=2"],
        "lederer-fusion": [*tags, *view, *short],
    }
    for recipe, options in settings.items():
        out = ["--data", dataset.folder, "--out", tmp_path / recipe, "--device", "cpu"]
        run_json("models", "train", recipe, *out, *options)
        run_json("models", "evaluate", tmp_path / recipe, "--data", dataset.folder)
    page = tmp_path / "comparison.html"
    comparison = run_json("models", "compare", *(tmp_path / recipe for recipe in settings), "--out", page)
    runs = comparison["targets"]["concept"]["runs"]
    assert list(runs) == list(settings)
    for name in ("lederer-exif", "lederer-fusion"):
        assert set(runs[name]["difference"]["macro_f1"]) == {"value", "low", "high"}
        expected = 100 * (runs[name]["seconds"] / runs["lederer-image"]["seconds"] - 1)
        assert runs[name]["seconds_difference_percent"] == pytest.approx(expected)
    text = page.read_text()
    assert "macro F1" in text
    assert "training time (s)" in text
