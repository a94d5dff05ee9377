"""Wrong use of training, evaluation and prediction: one sentence, exit code 2."""

import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest

from lightmeter.labels.datasets.dataset import Dataset, write_dataset
from tests.models.conftest import SMALL, make_dataset
from tests.support import run_command, run_error, run_json


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["patchs"], "did you mean patches"),
        (["patches", "--set", "patch_sise=64"], "did you mean patch_size"),
        (["patches", "--set", "weights=vgg"], "file or set of weights 'vgg'"),
        (["haoran-cnn", "--set", "weights=efficientnet-lite0-imagenet"], "has no backbone for pretrained weights"),
        (["haoran-cnn", "--set", "filters=-3"], "Cannot build the network of haoran-cnn"),
        (["haoran-cnn", "--set", "filters=many"], "Cannot build the network of haoran-cnn"),
        (["haoran-cnn", "--set", "architecture_options.depth=3"], "Cannot build the network of haoran-cnn"),
        (["gupta-kannan", "--set", "weights=", "--set", "patch_size=32"], "the minimum is 48"),
        (["haoran-cnn", "--set", "batch_size=1"], "invalid 'training.network.batch_size'"),
        (["patches", "--set", "architecture=resnet"], "architecture 'resnet'"),
        (["patches", "--device", "abacus"], "Unknown device 'abacus'"),
        (["patches", "--device", "cuda:99"], "Device 'cuda:99' is not available"),
        (["patches", "--name", "../x"], "Invalid run name '../x'"),
        (["patches", "--address", "10.0.0.1:6379"], "add --executor ray"),
        (["patches", "--executor", "ray", "--address", "10.0.0.1"], "use HOST:PORT"),
    ],
)
def test_invalid_training_raises_error(arguments: list[str], message: str, dataset: Dataset, tmp_path: Path) -> None:
    assert message in run_error("models", "train", *arguments, "--data", dataset.folder, "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_cluster_that_cannot_be_used_is_one_sentence(
    command: str, trained: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["patches", "--out", tmp_path / "run"] if command == "train" else [trained]
    options = ["--data", dataset.folder, "--executor", "ray", "--address", "127.0.0.1:1"]
    result = run_command("models", command, *arguments, *options)
    assert result.code == 1
    assert "Cannot use the Ray cluster at 127.0.0.1:1 (Connection refused); check --address." in result.error
    monkeypatch.setitem(sys.modules, "ray", None)
    options = ["--data", dataset.folder, "--executor", "ray"]
    assert "pip install 'lightmeter[ray]'" in run_error("models", command, *arguments, *options)
    assert not (tmp_path / "run").exists()


def test_folder_without_data_set_raises_error(tmp_path: Path) -> None:
    assert "data set" in run_error("models", "train", "patches", "--data", tmp_path, "--out", tmp_path / "run")


def test_existing_run_is_never_overwritten(trained: Path, dataset: Dataset) -> None:
    before = (trained / "model.toml").read_bytes()
    error = run_error("models", "train", "patches", "--data", dataset.folder, "--out", trained)
    assert "already exists; choose another name" in error
    assert (trained / "model.toml").read_bytes() == before


def test_target_with_a_single_class_raises_error(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "one-v1")
    manifest = dataset.manifest.filter(pc.equal(dataset.manifest["label_shutter"], "fast"))
    write_dataset(dataset.folder, dataset.spec, manifest)
    error = run_error("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    assert "fewer than two classes of 'shutter'" in error


def test_evaluation_on_another_data_set_raises_error(trained: Path, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "noise-v1", count=24)
    assert "was not trained on this version of the data set" in run_error(
        "models", "evaluate", trained, "--data", other.folder
    )


def test_missing_photograph_is_an_error_of_its_own(trained: Path, tmp_path: Path) -> None:
    (entry,) = run_json("models", "predict", trained, tmp_path / "missing.jpg", code=1)
    assert entry["file"].endswith("missing.jpg")
    assert entry["error"]["status"] == 404


def test_only_unreadable_photographs_exit_with_1(trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no photograph")
    assert run_command("models", "predict", trained, text, "--quiet").code == 1
