"""Whatever is wrong is said in one sentence, with exit code 2."""

from pathlib import Path

import pytest

from lightmeter.labels.datasets.dataset import Dataset, TargetSpec
from tests.support import run_command, run_error

from .conftest import SHUTTER, SMALL, make_dataset


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["patchs"], "Unknown recipe 'patchs'; did you mean patches?"),
        (["missing.toml"], "The recipe missing.toml cannot be read"),
        (["patches", "--set", "patches"], "--set wants key=value"),
        (["patches", "--set", "patch_sise=64"], "did you mean patch_size"),
        (["patches", "--set", "patches=-1"], "patches must be between 0 and 4096"),
        (["patches", "--set", "patches=many"], "patches must be a whole number"),
        (["patches", "--set", "penalties=strong"], "invalid 'training.probe.penalties'"),
        (["patches", "--set", "weights=vgg"], "Unknown file or set of weights 'vgg'"),
        (["haoran-cnn", "--set", "weights=efficientnet-lite0-imagenet"], "has no trunk that could begin with weights"),
        (["haoran-cnn", "--set", "filters=-3"], "The network of haoran-cnn cannot be built"),
        (["haoran-cnn", "--set", "batch_size=1"], "invalid 'training.network.batch_size'"),
        (["patches", "--set", "architecture=resnet"], "There is no architecture 'resnet'"),
        (["patches", "--device", "abacus"], "There is no device 'abacus'"),
        (["patches", "--device", "cuda:99"], "There is no device 'cuda:99' here"),
        (["patches", "--name", "../x"], "cannot be a run's name"),
    ],
)
def test_training(words: list[str], said: str, dataset: Dataset, tmp_path: Path) -> None:
    assert said in run_error("models", "train", *words, "--data", dataset.folder, "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    assert "is no data set" in run_error("models", "train", "patches", "--data", tmp_path, "--out", tmp_path / "run")


def test_a_run_is_never_overwritten(trained: Path, dataset: Dataset) -> None:
    before = (trained / "model.toml").read_bytes()
    said = run_error("models", "train", "patches", "--data", dataset.folder, "--out", trained)
    assert "is there already; choose another name" in said
    assert (trained / "model.toml").read_bytes() == before


def test_a_target_with_one_class(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "one-v1", targets=[TargetSpec("shutter", "1", ("fast", "never"), (-10.0, 0.0))])
    said = run_error("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    assert "fewer than two classes of 'shutter'" in said


def test_evaluation_on_another_data_set(trained: Path, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "noise-v1", count=24)
    assert "was trained on another data set" in run_error("models", "evaluate", trained, "--data", other.folder)


def test_prediction_of_a_file_that_is_not_there(trained: Path, tmp_path: Path) -> None:
    assert "There is no file" in run_error("models", "predict", trained, tmp_path / "missing.jpg")


def test_prediction_of_nothing_that_can_be_read(trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no photograph")
    assert run_command("models", "predict", trained, text, "--quiet").code == 1


def test_recipes_of_ones_own(dataset: Dataset, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'summary = "x"\nsource = "x"\narchitecture = "efficientnet-lite0"\n[training]\nmethod = "guess"\n'
    )
    said = run_error("models", "train", recipe, "--data", dataset.folder, "--out", tmp_path / "run")
    assert "invalid 'training'" in said
    recipe.write_text("summary = ")
    said = run_error("models", "train", recipe, "--data", dataset.folder, "--out", tmp_path / "run")
    assert "is not valid TOML" in said
    assert SHUTTER.ordinal
