"""Train, evaluate, predict: what each command leaves behind and prints."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from lightmeter.labels.datasets.dataset import Dataset
from tests.support import run_command, run_error, run_json

from .conftest import MEDIUM, SHUTTER, SMALL, jpeg, make_dataset

CARD = {"source", "image size and JPEG tables", "other EXIF"}
"""Baselines of a data set's card."""


def test_training_leaves_a_whole_run_folder(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        "model.safetensors",
        "model.toml",
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


def test_train_prints_its_run_and_its_metrics(dataset: Dataset, tmp_path: Path) -> None:
    printed = run_json("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    assert printed["run"] == str(tmp_path / "run")
    assert printed["metrics"] == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert printed["metrics"]["validation"]["targets"]["shutter"]["accuracy"]["value"] == 1.0
    assert "test" not in printed["metrics"]


def test_the_history_holds_every_penalty_that_was_tried(trained: Path) -> None:
    with (trained / "history.csv").open() as file:
        assert [float(row["penalty"]) for row in csv.DictReader(file)] == [1.0, 0.1]


def test_the_test_split_is_scored_when_asked_and_each_time_is_recorded(run: Path, dataset: Dataset) -> None:
    before = {row["split"] for row in pq.read_table(run / "predictions.parquet").to_pylist()}
    assert before == {"validation"}
    for times in (1, 2):
        metrics = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]
        assert len(metrics["evaluations"]) == times
    assert metrics["test"]["photographs"] == 12
    assert metrics["test"]["targets"]["shutter"]["confusion_matrix"] == [[6, 0], [0, 6]]
    rows = pq.read_table(run / "predictions.parquet").to_pylist()
    assert sum(row["split"] == "test" for row in rows) == 12
    assert "evaluated 2 times" in (run / "README.md").read_text()
    assert "evaluated 2 times" in (run / "report.html").read_text()


def test_the_report_is_one_file(run: Path, dataset: Dataset) -> None:
    run_command("models", "evaluate", run, "--data", dataset.folder, "--quiet")
    page = (run / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 7
    assert 'src="http' not in page
    assert "<script" not in page


def test_predict_answers_each_file_in_order(trained: Path, tmp_path: Path) -> None:
    noisy, text = tmp_path / "noisy.jpg", tmp_path / "text.jpg"
    noisy.write_bytes(jpeg(noisy=True, seed=1000))
    text.write_text("no photograph")
    good, bad = run_json("models", "predict", trained, noisy, text)
    assert good["file"] == str(noisy)
    assert (good["model"], good["version"]) == ("noise", "1.0")
    assert len(good["dataset"]) == 64
    answer = good["predictions"]["shutter"]
    assert answer["class"] == "slow"
    assert set(answer["probabilities"]) == {"fast", "slow"}
    assert abs(sum(answer["probabilities"].values()) - 1) < 1e-9
    assert -10 <= answer["stops"] <= -4
    assert bad == {
        "file": str(text),
        "error": {"status": 415, "reason": "The file is not a supported image format."},
    }


def test_the_same_seed_gives_the_same_run(dataset: Dataset, trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "noise"
    run_command("models", "train", "patches", "--data", dataset.folder, "--out", again, "--quiet", *SMALL)
    for name in ("model.safetensors", "predictions.parquet", "history.csv"):
        assert (again / name).read_bytes() == (trained / name).read_bytes()


def test_several_targets_share_one_model_and_missing_labels_are_left_out(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "both-v1", targets=(SHUTTER, MEDIUM))
    run = tmp_path / "run"
    metrics = run_json("models", "train", "patches", "--data", dataset.folder, "--out", run, *SMALL)["metrics"]
    targets = metrics["validation"]["targets"]
    assert targets["shutter"]["photographs"] == 12
    assert targets["medium"]["photographs"] == 10
    assert "mae_stops" not in targets["medium"]
    assert set(targets["medium"]["baselines"]) == {"majority", *CARD}
    assert set(targets["shutter"]["baselines"]) == {"majority", "median", *CARD}
    photograph = next(dataset.store.iterdir())
    (answer,) = run_json("models", "predict", run, photograph)
    assert "stops" in answer["predictions"]["shutter"]
    assert "stops" not in answer["predictions"]["medium"]


def test_what_could_be_told_without_the_picture_stands_beside_it(run: Path, dataset: Dataset) -> None:
    """Here the ISO gives the class away; the picture's size and its JPEG tables do not."""
    target = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]["test"]["targets"]["shutter"]
    baselines = target["baselines"]
    assert baselines["other EXIF"]["balanced_accuracy"]["value"] == 1.0
    assert baselines["other EXIF"]["mae_stops"]["value"] == 0.0
    for blind in ("source", "image size and JPEG tables"):
        assert baselines[blind]["balanced_accuracy"]["value"] == 0.5
        assert blind in (run / "report.html").read_text()


def test_photographs_that_cannot_be_read_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "cut-v1", damaged=(0, 3))
    metrics = run_json("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)[
        "metrics"
    ]
    assert len(metrics["unreadable"]) == 2
    assert all("damaged" in one["reason"] for one in metrics["unreadable"])


def test_runs_of_a_project_are_numbered_and_found_by_name(project: Path) -> None:
    make_dataset(project / "datasets" / "noise-v1")
    for number in (1, 2):
        made = run_json("models", "train", "patches", "--data", "noise-v1", *SMALL)
        assert made["run"] == str(project / "runs" / f"patches-noise-v1-{number}")
    Path("patches-noise-v1-2").mkdir()  # where the person stands, called so by chance
    metrics = run_json("models", "evaluate", "patches-noise-v1-2")["metrics"]
    assert metrics["test"]["photographs"] == 12


def test_a_failed_training_leaves_nothing(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "noise-v1")
    for file in list(dataset.store.iterdir())[:1]:
        file.write_bytes(b"something else")
    said = run_error("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    assert "its bytes have changed" in said
    shutil.rmtree(dataset.store)
    said = run_error("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    assert "cannot be read" in said
    assert [path.name for path in tmp_path.iterdir()] == ["noise-v1"]
