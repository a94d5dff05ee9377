"""Run folders and the output of train, evaluate and predict."""

import csv
import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.report import answer
from tests.models.conftest import MEDIUM, SHUTTER, SMALL, jpeg, make_dataset
from tests.support import run_command, run_error, run_json, run_text

COMMON_CACHE = pytest.mark.usefixtures("common_cache")

CARD_BASELINES = {"source", "image size and JPEG tables", "other EXIF"}
"""Shortcut baselines of the data set card."""


def test_training_writes_a_complete_run_folder(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        "model.safetensors",
        "model.toml",
        "recipe.toml",
        "metrics.json",
        "predictions.parquet",
        "history.csv",
        "README.md",
        "report.html",
        "plots",
    }
    assert {path.name for path in (trained / "plots").iterdir()} == {
        "training.png",
        "validation-shutter-confusion.png",
        "validation-shutter-reliability.png",
        "validation-shutter-stops.png",
    }
    assert not list(trained.parent.glob(".tmp-*"))


@COMMON_CACHE
def test_train_prints_run_and_metrics(dataset: Dataset, tmp_path: Path) -> None:
    result = run_json("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    assert result["run"] == str(tmp_path / "run")
    assert result["metrics"] == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert result["metrics"]["validation"]["targets"]["shutter"]["accuracy"]["value"] == 1.0
    assert "test" not in result["metrics"]


@pytest.fixture(scope="module")
def evaluated(trained: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the trained run, evaluated once on the test split; it must not be changed."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "noise"))
    run_json("models", "evaluate", run, "--data", dataset.folder)
    return run


@pytest.mark.parametrize("name", ["metrics.json", "plots/x.png", "model.toml"])
def test_links_in_a_foreign_run_are_not_followed(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "run" / "plots").mkdir(parents=True)
    (tmp_path / "run" / "model.toml").touch()
    (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / name).symlink_to(precious)
    for args in (("models", "evaluate"), ("serve", "archive"), ("models", "explain")):
        assert f"{name} is a link" in run_error(*args, tmp_path / "run", *(["x.jpg"] if "explain" in args else []))
    assert precious.read_text() == "mine"


def test_history_has_a_row_for_each_penalty(trained: Path) -> None:
    with (trained / "history.csv").open() as file:
        assert [float(row["penalty"]) for row in csv.DictReader(file)] == [1.0, 0.1]


def test_each_evaluation_on_test_is_recorded(trained: Path, evaluated: Path, dataset: Dataset, tmp_path: Path) -> None:
    before = {row["split"] for row in pq.read_table(trained / "predictions.parquet").to_pylist()}
    assert before == {"validation"}
    assert len(json.loads((evaluated / "metrics.json").read_text())["evaluations"]) == 1
    run = Path(shutil.copytree(evaluated, tmp_path / "noise"))
    metrics = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]
    assert len(metrics["evaluations"]) == 2
    assert metrics["test"]["photographs"] == 12
    assert metrics["test"]["targets"]["shutter"]["confusion_matrix"] == [[6, 0], [0, 6]]
    rows = pq.read_table(run / "predictions.parquet").to_pylist()
    assert sum(row["split"] == "test" for row in rows) == 12
    assert "evaluated 2 times" in (run / "README.md").read_text()
    assert "evaluated 2 times" in (run / "report.html").read_text()


def test_report_is_self_contained(evaluated: Path) -> None:
    page = (evaluated / "report.html").read_text()
    assert page.count("<svg") == 5
    assert 2 <= page.count("data:image/jpeg;base64,") <= 4  # the surest and a typical photograph of each class
    assert "/?target=shutter&amp;predictions=" in page  # the confusion matrix links to its photographs
    assert '<p class="answer">shutter: accuracy 100.0 %' in page
    assert "not clearly better than the best baseline (other EXIF, 100.0 %): +0 points [+0, +0]." in page
    targets = re.findall(r'href="#([a-z-]+)"', page)
    assert targets == ["test", "test-shutter", "validation", "validation-shutter", "training", "recipe"]
    assert all(f'id="{target}"' in page for target in targets)
    assert 'src="http' not in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.05, 0.19), "better than the best baseline (median, 29.0 %) by 12 points [5, 19]."),
        ((-0.02, 0.26), "not clearly better than the best baseline (median, 29.0 %): +12 points [-2, +26]."),
        ((None, None), "too few groups to compare it with the best baseline (median, 29.0 %)."),
    ],
)
def test_answer_compares_with_the_best_baseline(interval: tuple[float | None, float | None], verdict: str) -> None:
    low, high = interval
    baselines = {
        "majority": {"accuracy": {"value": 0.2}},
        "median": {
            "accuracy": {"value": 0.29},
            "difference": {"accuracy": {"value": 0.12, "low": low, "high": high}},
        },
    }
    scores = {"accuracy": {"value": 0.41, "low": 0.3, "high": 0.5}, "baselines": baselines}
    assert answer("iso", scores) == f"iso: accuracy 41.0 % [30.0, 50.0]: {verdict}"


def test_predict_returns_results_in_order_of_files(trained: Path, tmp_path: Path) -> None:
    noisy, text = tmp_path / "noisy.jpg", tmp_path / "text.jpg"
    noisy.write_bytes(jpeg(noisy=True, seed=1000))
    text.write_text("no photograph")
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.jpg"))
    odd.write_bytes(noisy.read_bytes())
    missing = tmp_path / "missing.jpg"
    good, bad, latin, absent, folder = run_json("models", "predict", trained, noisy, text, odd, missing, tmp_path)
    assert latin["predictions"] == good["predictions"]
    assert Path(latin["file"]) == odd
    assert absent == {"file": str(missing), "error": {"status": 404, "reason": "There is no such file."}}
    assert folder["error"]["status"] == 404
    run_json("models", "predict", trained, missing, code=1)
    assert good["file"] == str(noisy)
    assert (good["model"], good["version"]) == ("noise", "1.0")
    assert len(good["dataset"]) == 64
    prediction = good["predictions"]["shutter"]
    assert prediction["class"] == "slow"
    assert set(prediction["probabilities"]) == {"fast", "slow"}
    assert abs(sum(prediction["probabilities"].values()) - 1) < 1e-9
    assert -10 <= prediction["stops"] <= -4
    assert bad == {
        "file": str(text),
        "error": {"status": 415, "reason": "The file is not a supported image (not an image)."},
    }


def test_same_seed_gives_the_same_run(dataset: Dataset, trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "noise"
    run_command("models", "train", "patches", "--data", dataset.folder, "--out", again, "--quiet", *SMALL)
    for name in ("model.safetensors", "predictions.parquet", "history.csv"):
        assert (again / name).read_bytes() == (trained / name).read_bytes()


@COMMON_CACHE
def test_targets_share_a_model_and_missing_labels_are_ignored(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "both-v1", targets=(SHUTTER, MEDIUM))
    run = tmp_path / "run"
    metrics = run_json("models", "train", "patches", "--data", dataset.folder, "--out", run, *SMALL)["metrics"]
    targets = metrics["validation"]["targets"]
    assert targets["shutter"]["photographs"] == 12
    assert targets["medium"]["photographs"] == 10
    assert "mae_stops" not in targets["medium"]
    assert set(targets["medium"]["baselines"]) == {"majority", *CARD_BASELINES}
    assert set(targets["shutter"]["baselines"]) == {"majority", "median", *CARD_BASELINES}
    photograph = next(dataset.store.root.glob("*/*"))
    (result,) = run_json("models", "predict", run, photograph)
    assert "stops" in result["predictions"]["shutter"]
    assert "stops" not in result["predictions"]["medium"]


def test_metrics_include_shortcut_baselines(evaluated: Path) -> None:
    """In this data set the ISO determines the class; image size and JPEG tables do not."""
    metrics = json.loads((evaluated / "metrics.json").read_text())
    baselines = metrics["test"]["targets"]["shutter"]["baselines"]
    assert baselines["other EXIF"]["balanced_accuracy"]["value"] == 1.0
    assert baselines["other EXIF"]["mae_stops"]["value"] == 0.0
    for baseline in ("source", "image size and JPEG tables"):
        assert baselines[baseline]["balanced_accuracy"]["value"] == 0.5
        assert baseline in (evaluated / "report.html").read_text()


@COMMON_CACHE
def test_unreadable_photographs_are_reported(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "cut-v1", damaged=(0, 3))
    metrics = run_json("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)[
        "metrics"
    ]
    assert len(metrics["unreadable"]) == 2
    assert all("damaged" in photo["reason"] for photo in metrics["unreadable"])


@COMMON_CACHE
def test_project_runs_are_numbered_and_opened_by_name(project: Path) -> None:
    make_dataset(project / "datasets" / "noise-v1")
    for number in (1, 2):
        result = run_json("models", "train", "patches", "--data", "noise-v1", *SMALL)
        assert result["run"] == str(project / "runs" / f"patches-noise-v1-{number}")
    Path("patches-noise-v1-2").mkdir()  # a folder of the same name does not hide the run
    metrics = run_json("models", "evaluate", "patches-noise-v1-2")["metrics"]
    assert metrics["test"]["photographs"] == 12


@COMMON_CACHE
def test_recipe_of_a_run_repeats_it(dataset: Dataset, trained: Path, tmp_path: Path) -> None:
    recipe = trained / "recipe.toml"
    values = tomllib.loads(recipe.read_text())
    assert (values["name"], values["preprocessing"]["patch_size"], values["training"]["penalties"]) == (
        "patches",
        64,
        [1.0, 0.1],
    )
    again = tmp_path / "noise"
    run_text("models", "train", recipe, "--data", dataset.folder, "--out", again, "--device", "cpu", "--quiet")
    for name in ("model.safetensors", "predictions.parquet", "recipe.toml"):
        assert (again / name).read_bytes() == (trained / name).read_bytes()
    for file in ("README.md", "report.html"):
        assert "preprocessing.patch_size" in (trained / file).read_text()
    same = run_json("models", "compare", trained, again, "--split", "validation")
    assert len({json.dumps(settings) for settings in same["settings"].values()}) == 1
    other = tmp_path / "other"
    run_text(
        "models",
        "train",
        "patches",
        "--data",
        dataset.folder,
        "--out",
        other,
        "--quiet",
        *SMALL,
        "--set",
        "min_side=40",
    )
    page = tmp_path / "page.html"
    text = run_text("models", "compare", trained, other, "--split", "validation", "--out", page)
    assert "preprocessing.min_side" in text
    assert "preprocessing.patch_size" not in text
    assert "preprocessing.min_side" in page.read_text()


def test_failed_training_leaves_no_files(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "noise-v1")
    (dataset.store.root / dataset.rows("train")[0]["path"]).write_bytes(b"something else")
    error = run_error("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    assert "its bytes have changed" in error
    shutil.rmtree(dataset.store.root)
    error = run_error("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    assert "Cannot read the photograph" in error
    assert [path.name for path in tmp_path.iterdir()] == ["noise-v1"]
