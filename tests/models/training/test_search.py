"""Hyperparameter search."""

import json
import signal
import sys
from pathlib import Path

import pytest

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.training import search as search_module
from tests.models.conftest import make_dataset
from tests.support import CommandRunner, run_error, run_json

FIXED = ["haoran-cnn", "--set", "view_size=32", "--set", "epochs=1", "--device", "cpu"]
RANGES = ["--search", "learning_rate=1e-4..1e-2", "--search", "filters=2,4"]


def search_command(dataset: Dataset, out: Path, *options: object) -> list[str]:
    """Return the command line of a search."""
    return [*map(str, ["models", "search", *FIXED, *RANGES, "--data", dataset.folder, "--out", out, *options])]


def test_best_recipe_can_be_trained(dataset: Dataset, tmp_path: Path) -> None:
    result = run_json(*search_command(dataset, tmp_path / "search", "--trials", 3))
    assert [trial["number"] for trial in result["trials"]] == [0, 1, 2]
    assert all(1e-4 <= trial["settings"]["learning_rate"] <= 1e-2 for trial in result["trials"])
    best = result["best"]
    assert best["value"] == max(trial["value"] for trial in result["trials"])
    assert set(best["metrics"]["shutter"]) == {"value", "low", "high"}
    assert json.loads((tmp_path / "search" / "search.json").read_text())["best"] == best
    out = ["--data", dataset.folder, "--out", tmp_path / "run", "--device", "cpu"]
    metrics = run_json("models", "train", result["recipe"], *out)["metrics"]
    assert metrics["validation"]["targets"]["shutter"]["macro_f1"]["value"] == pytest.approx(best["value"])
    assert {path.name for path in (tmp_path / "search").iterdir()} == {"search.journal", "search.json", "recipe.toml"}


def test_search_does_not_read_the_test_split(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "noise-v1")
    for row in dataset.rows("test"):
        (dataset.store.root / row["path"]).unlink()
    result = run_json(*search_command(dataset, tmp_path / "search", "--trials", 1))
    assert result["split"] == "validation"


def test_killed_search_resumes_from_its_journal(
    dataset: Dataset, tmp_path: Path, all_commands: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = run_json(*search_command(dataset, tmp_path / "uninterrupted", "--trials", 3))
    command = search_command(dataset, tmp_path / "killed", "--trials", 3)
    result = all_commands.run(*command, function="tests.models.processes:killed_after_trial")
    assert result.code == -signal.SIGKILL, result.error
    trainings: list[Path] = []
    train = search_module.train
    monkeypatch.setattr(
        search_module,
        "train",
        lambda recipe, dataset, folder, **options: (
            trainings.append(folder) or train(recipe, dataset, folder, **options)
        ),
    )

    result = run_json(*command)

    assert len(trainings) == 2
    assert [trial["value"] for trial in result["trials"]] == [trial["value"] for trial in uninterrupted["trials"]]
    assert result["best"]["settings"] == uninterrupted["best"]["settings"]
    assert run_json(*command)["trials"] == result["trials"]
    assert len(trainings) == 2


def test_failed_trial_is_reported_and_search_continues(dataset: Dataset, tmp_path: Path) -> None:
    command = ["models", "search", *FIXED, "--search", "learning_rate=1e-3,1e30", "--data", dataset.folder]
    result = run_json(*command, "--out", tmp_path / "search", "--trials", 6, "--set", "epochs=3")
    failed = [trial for trial in result["trials"] if trial["value"] is None]
    assert failed
    assert all("The loss became" in trial["reason"] for trial in failed)
    assert result["best"]["settings"] == {"learning_rate": "0.001"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--search", "learning_rate"], "Invalid --search 'learning_rate': use KEY=LOW..HIGH or KEY=A,B,C."),
        (["--search", "filters=4"], "Invalid --search 'filters=4'"),
        (["--search", "learning_rate=1..0.1"], "Invalid --search 'learning_rate=1..0.1'"),
        (["--search", "filtres=2,4"], "did you mean filters"),
        (["--search", "batch_size=1..8"], "batch_size"),
        (["--search", "filters=2,4", "--metric", "beauty"], "metric of 'shutter' 'beauty'"),
    ],
)
def test_invalid_search_raises_error(options: list[str], message: str, dataset: Dataset, tmp_path: Path) -> None:
    out = ["--data", dataset.folder, "--out", tmp_path / "search", "--trials", 1]
    assert message in run_error("models", "search", *FIXED, *options, *out)


def test_folder_of_another_search_is_rejected(dataset: Dataset, tmp_path: Path) -> None:
    run_json(*search_command(dataset, tmp_path / "search", "--trials", 1))
    error = run_error(*search_command(dataset, tmp_path / "search", "--trials", 2, "--seed", 1))
    assert "holds another search" in error


def test_missing_optuna_raises_error(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "lightmeter.models.training.search", raising=False)
    assert "pip install 'lightmeter[search]'" in run_error(*search_command(dataset, tmp_path / "search"))
