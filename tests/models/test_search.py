"""Search over the settings of a recipe."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightmeter.labels.datasets.dataset import Dataset
from tests.support import run_error, run_json

from .conftest import make_dataset

FIXED = ["haoran-cnn", "--set", "view_size=32", "--set", "epochs=1", "--device", "cpu"]
VARIED = ["--vary", "learning_rate=1e-4..1e-2", "--vary", "filters=2,4"]


def search(dataset: Dataset, out: Path, *more: object) -> list[object]:
    return ["models", "search", *FIXED, *VARIED, "--data", dataset.folder, "--out", out, *more]


def test_the_best_recipe_trains(dataset: Dataset, tmp_path: Path) -> None:
    found = run_json(*search(dataset, tmp_path / "search", "--trials", 3))
    assert [one["number"] for one in found["trials"]] == [0, 1, 2]
    assert all(1e-4 <= one["settings"]["learning_rate"] <= 1e-2 for one in found["trials"])
    assert found["best"]["value"] == max(one["value"] for one in found["trials"])
    assert set(found["best"]["figures"]["shutter"]) == {"value", "low", "high"}
    assert json.loads((tmp_path / "search" / "search.json").read_text())["best"] == found["best"]
    metrics = run_json(
        "models", "train", found["recipe"], "--data", dataset.folder, "--out", tmp_path / "run", "--device", "cpu"
    )["metrics"]
    assert metrics["validation"]["targets"]["shutter"]["macro_f1"]["value"] == pytest.approx(found["best"]["value"])
    assert {path.name for path in (tmp_path / "search").iterdir()} == {"search.journal", "search.json", "recipe.toml"}


def test_test_photographs_need_not_be_there(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "noise-v1")
    for row in dataset.rows("test"):
        (dataset.store / row["path"]).unlink()
    found = run_json(*search(dataset, tmp_path / "search", "--trials", 1))
    assert found["split"] == "validation"


def test_a_killed_search_goes_on_and_tries_what_it_would_have_tried(dataset: Dataset, tmp_path: Path) -> None:
    whole = run_json(*search(dataset, tmp_path / "whole", "--trials", 3))
    killed = [str(word) for word in search(dataset, tmp_path / "killed", "--trials", 3)]
    process = subprocess.Popen([sys.executable, "-m", "lightmeter", *killed, "--json"], stdout=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "killed" / "search.json").is_file():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = run_json(*killed)
    assert sorted(one["value"] for one in found["trials"]) == sorted(one["value"] for one in whole["trials"])
    assert found["best"]["settings"] == whole["best"]["settings"]
    again = run_json(*killed)
    assert again["trials"] == found["trials"]


def test_a_trial_that_fails_is_told_and_the_search_goes_on(dataset: Dataset, tmp_path: Path) -> None:
    fixed = ["models", "search", *FIXED, "--vary", "learning_rate=1e-3,1e30", "--data", dataset.folder]
    found = run_json(*fixed, "--out", tmp_path / "search", "--trials", 6, "--set", "epochs=3")
    failed = [one for one in found["trials"] if one["value"] is None]
    assert failed
    assert all("The loss became" in one["reason"] for one in failed)
    assert found["best"]["settings"] == {"learning_rate": "0.001"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vary", "learning_rate"], "--vary wants key=low..high or key=a,b,c, not 'learning_rate'"),
        (["--vary", "filters=4"], "--vary wants key=low..high or key=a,b,c"),
        (["--vary", "learning_rate=1..0.1"], "--vary wants key=low..high"),
        (["--vary", "filtres=2,4"], "did you mean filters"),
        (["--vary", "batch_size=1..8"], "batch_size"),
        (["--vary", "filters=2,4", "--by", "beauty"], "There is no figure 'beauty'"),
    ],
)
def test_wrong_use(words: list[str], said: str, dataset: Dataset, tmp_path: Path) -> None:
    out = ["--data", dataset.folder, "--out", tmp_path / "search", "--trials", 1]
    assert said in run_error("models", "search", *FIXED, *words, *out)


def test_another_search_is_not_mixed_in(dataset: Dataset, tmp_path: Path) -> None:
    run_json(*search(dataset, tmp_path / "search", "--trials", 1))
    said = run_error(*search(dataset, tmp_path / "search", "--trials", 2, "--seed", 1))
    assert "holds another search" in said


def test_without_optuna_a_sentence_says_what_is_missing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "lightmeter.models.training.search.search", raising=False)
    assert "pip install 'lightmeter[search]'" in run_error(*search(dataset, tmp_path / "search"))
