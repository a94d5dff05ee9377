"""Network training: checkpoints, early stopping, several processes."""

import shutil
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset, read_dataset, write_dataset
from lightmeter.models.training import distributed
from lightmeter.models.training import recipe as recipes
from lightmeter.models.training.data import pipeline
from lightmeter.models.training.network.checkpoint import CHECKPOINT_FILE
from lightmeter.models.training.network.trainer import Trainer
from tests.models.conftest import CNN, TINY, history, make_dataset, settings
from tests.support import CommandRunner, run_command, run_error, run_json, run_text

EPOCHS = 6  # of CNN


def run_killed(runner: CommandRunner, function: str, *command: object) -> None:
    """Run a command with a function of `tests.models.processes` that kills its own process."""
    result = runner.run(*command, function=f"tests.models.processes:{function}")
    assert result.code == -signal.SIGKILL, result.error


def test_killed_training_resumes_to_the_same_weights(
    dataset: Dataset, tmp_path: Path, all_commands: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    run_json("models", "train", *CNN, "--data", dataset.folder, "--out", uninterrupted)
    command = ["models", "train", *CNN, "--data", dataset.folder, "--out", killed]
    run_killed(all_commands, "killed_after_checkpoint", *command)
    assert not killed.exists()
    checkpoint = killed.with_name("killed.partial") / CHECKPOINT_FILE
    before = checkpoint.read_bytes()
    error = run_error(*command)
    assert "--resume" in error
    assert "--restart" in error
    assert "another seed" in run_error(*command, "--resume", "--seed", 1)
    assert "another recipe" in run_error(*command, "--resume", "--set", "patience=3")
    assert "another version of Lightmeter" in run_error_of_other_version(monkeypatch, *command, "--resume")
    assert checkpoint.read_bytes() == before
    epochs: list[int] = []
    train_epoch = Trainer.train_epoch
    monkeypatch.setattr(
        Trainer, "train_epoch", lambda self, *args: epochs.append(self.state.epoch) or train_epoch(self, *args)
    )

    run_json(*command, "--resume")

    assert epochs == list(range(1, EPOCHS))
    assert history(killed) == history(uninterrupted)
    assert (killed / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()
    assert not checkpoint.parent.exists()


def run_error_of_other_version(monkeypatch: pytest.MonkeyPatch, *command: object) -> str:
    """Run a command as another version of Lightmeter would."""
    with monkeypatch.context() as changed:
        changed.setattr(recipes, "__version__", "0.0.1")
        return run_error(*command)


@pytest.mark.parametrize(("recipe", "validated_again"), [("patches", 0), ("lightmeter-attention", 12)])
def test_killed_feature_computation_resumes_after_last_checkpoint(
    recipe: str,
    validated_again: int,
    tmp_path: Path,
    all_commands: CommandRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = make_dataset(tmp_path / "data" / "noise-v1")
    command = ["models", "train", recipe, *TINY[recipe], "--data", str(dataset.folder), "--out", str(tmp_path / "run")]
    run_killed(all_commands, "killed_after_cached_features", *command)
    calls: list[bytes] = []
    preprocess = pipeline.preprocess
    monkeypatch.setattr(pipeline, "preprocess", lambda data, *args: calls.append(data) or preprocess(data, *args))
    run_json(*command, "--resume")
    assert len(calls) == 2 * 12 - 4 + validated_again  # cached activations are rounded
    uninterrupted = tmp_path / "uninterrupted"
    run_json(*command[:-1], uninterrupted, "--device", "cpu")
    assert (uninterrupted / "model.safetensors").read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()


def test_interrupted_training_can_be_resumed(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_validate", interrupt)
    command = ["models", "train", *CNN, "--data", dataset.folder, "--out", tmp_path / "run"]
    result = run_command(*command)
    assert result.code == 130
    assert "resume with the same command and --resume" in result.error
    monkeypatch.undo()
    run_text(*command, "--resume", "--quiet")


def test_training_stops_early(dataset: Dataset, tmp_path: Path) -> None:
    options = ["--set", "epochs=50", "--set", "patience=2", "--set", "learning_rate=0.05"]
    run_json("models", "train", *CNN[:3], *options, "--data", dataset.folder, "--out", tmp_path / "run")
    losses = [float(row["validation_loss"]) for row in history(tmp_path / "run")]
    assert len(losses) < 50
    assert losses.index(min(losses)) == len(losses) - 3


@pytest.mark.usefixtures("small_backbones")
def test_training_does_not_read_the_test_split(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data" / "noise-v1")
    for row in dataset.rows("test"):
        (dataset.store.root / row["path"]).unlink()
    for name in ("patches", "haoran-cnn", "quality-features"):
        run_json(
            "models",
            "train",
            name,
            *TINY[name],
            "--set",
            "weights=",
            "--data",
            dataset.folder,
            "--out",
            tmp_path / name,
        )


def test_foreign_or_damaged_checkpoint_is_rejected(dataset: Dataset, tmp_path: Path) -> None:
    command = ["models", "train", *CNN, "--data", dataset.folder, "--out", tmp_path / "run", "--resume"]
    checkpoint = tmp_path / "run.partial" / CHECKPOINT_FILE
    checkpoint.parent.mkdir()
    contents = {
        "lacks the progress": {"lightmeter": '{"identity": {}}'},
        "of another program": {"format": "pt"},
        "no JSON": {"lightmeter": "{"},
        "without a header": None,
    }
    for metadata in contents.values():
        save_file({"network.x": torch.zeros(1)}, checkpoint, metadata)
        before = checkpoint.read_bytes()
        assert "checkpoint" in (error := run_error(*command))
        assert "--restart" in error
        assert checkpoint.read_bytes() == before
    for content in (b"junk", b""):
        checkpoint.write_bytes(content)
        assert "Cannot read the checkpoint" in run_error(*command)


def test_nan_loss_raises_error(dataset: Dataset, tmp_path: Path) -> None:
    options = ["--set", "learning_rate=1e30", "--data", dataset.folder, "--out", tmp_path / "run"]
    error = run_error("models", "train", *CNN, *options, code=1)
    assert "The loss became nan in phase 1, epoch" in error
    assert not (tmp_path / "run").exists()


def test_two_machines_train_like_one_on_photographs_in_object_storage(
    dataset: Dataset, tmp_path: Path, all_commands: CommandRunner, s3_url: str
) -> None:
    """Neither has the other's cache, and only the machine of the main process has the run."""
    write_dataset(tmp_path / "data", replace(dataset.spec, store=s3_url), dataset.manifest)
    remote = read_dataset(tmp_path / "data")
    for row in dataset.rows():
        remote.store.put(row["sha256"], dataset.read(row["sha256"]))
    command = [
        "models",
        "train",
        *CNN,
        "--set",
        "epochs=2",
        "--set",
        "flip=false",
        "--data",
        tmp_path / "data",
        "--out",
    ]
    machines = "tests.models.processes:two_machines"
    result = all_commands.run(*command, "run", function=machines, folder=tmp_path)
    assert result.code == 0, result.error
    run_json(*command, tmp_path / "single")
    (run,) = [folder for folder in (tmp_path / "run", tmp_path / "other" / "run") if folder.exists()]
    for single, parallel in zip(history(tmp_path / "single"), history(run), strict=True):
        for loss in ("train_loss", "validation_loss"):
            assert float(parallel[loss]) == pytest.approx(float(single[loss]), abs=0.01)
    assert not list(tmp_path.glob("**/*.partial"))


def test_training_that_lost_a_process_resumes_in_all_from_the_checkpoint_of_one(
    dataset: Dataset, tmp_path: Path, all_commands: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["models", "train", *CNN, "--set", "epochs=2", "--data", str(dataset.folder), "--out", "run"]
    result = all_commands.run(*command, function="tests.models.processes:two_until_one_dies")
    assert result.code == 1
    assert "The connection to another process was lost" in result.error
    assert "Traceback" not in result.error
    result = all_commands.run(*command, "--resume", function="tests.models.processes:two")
    assert result.code == 0, result.error
    assert "Resuming after 1 epochs" in result.error
    assert len(history(tmp_path / "run")) == 2
    assert not (tmp_path / "other" / "run").exists()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}, "Cannot join the other processes at 127.0.0.1:1 ("),
        ({}, "Cannot join the other processes at ?:? ("),
        ({"RANK": "first"}, "The variable RANK is 'first', not a number; start the processes with torchrun."),
    ],
    ids=["nobody listens", "no address", "no number"],
)
def test_wrong_rendezvous_is_one_sentence(
    variables: dict[str, str], message: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "_RENDEZVOUS", timedelta(seconds=1))
    for name, value in ({"WORLD_SIZE": "2", "RANK": "1"} | variables).items():
        monkeypatch.setenv(name, value)
    command = ["models", "train", *CNN, "--data", dataset.folder, "--out", tmp_path / "run"]
    assert message in run_command(*command).error
    assert not list(tmp_path.iterdir())


def test_processes_that_train_something_else_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = {"seed": 0, "recipe": "a", "data set": "b"}
    monkeypatch.setattr(distributed, "gather", lambda own: [own, own | {"seed": 1}, own | {"data set": "c"}])
    with pytest.raises(
        UsageError, match="The processes differ in the seed and the data set; give all of them the same"
    ):
        distributed.check_same(identity)


@pytest.mark.usefixtures("small_backbones")
def test_cached_activations_give_the_same_losses(dataset: Dataset, tmp_path: Path) -> None:
    """Activations are cached as 16-bit floats."""
    changes = ("flip=false", "dropout=0.0", "patches=2", "epochs=1")
    for cached in ("true", "false"):
        options = [*TINY["lightmeter-attention"], *settings(*changes, f"cache_activations={cached}")]
        command = ("models", "train", "lightmeter-attention", "--data", dataset.folder, "--out", tmp_path / cached)
        run_json(*command, *options)
    for first, second in zip(history(tmp_path / "true"), history(tmp_path / "false"), strict=True):
        assert float(first["validation_loss"]) == pytest.approx(float(second["validation_loss"]), rel=0.02)


def test_cached_activations_need_a_frozen_backbone(dataset: Dataset, tmp_path: Path) -> None:
    options = ["--set", "phases=[{epochs=1, learning_rate=1e-3}]", "--data", dataset.folder, "--out", tmp_path / "run"]
    error = run_error("models", "train", "lightmeter-attention", *options)
    assert "cache_activations needs a frozen backbone" in error


def test_report_shows_training_facts(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    facts = run_json("models", "train", *CNN, "--data", dataset.folder, "--out", run)["metrics"]["training"]
    assert 0 <= facts["waiting_share"] <= 1
    assert facts["photographs"] == {"shutter": "fast 6, slow 6"}
    assert facts["class_weights"] == "none"
    assert facts["energy"]
    page = (run / "report.html").read_text()
    assert all(f"<td>{fact}" in page for fact in ("waiting share", "photographs, shutter", "class weights", "energy"))


def test_last_batch_with_a_single_photograph_is_left_out(tmp_path: Path) -> None:
    """Batch normalisation cannot use a single photograph."""
    dataset = make_dataset(tmp_path / "noise-v1", count=33)
    batch_size = len(dataset.rows("train")) - 1
    options = ["--set", f"batch_size={batch_size}", "--set", "exif=['iso']", "--set", "epochs=2", "--device", "cpu"]
    run_json("models", "train", "lederer-exif", "--data", dataset.folder, "--out", tmp_path / "run", *options)


@pytest.mark.parametrize("recipe", ["patches", "quality-features", "haoran-cnn"])
def test_unreadable_split_raises_error(recipe: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "cut-v1", damaged=range(36))
    error = run_error("models", "train", recipe, "--data", dataset.folder, "--out", tmp_path / "run")
    assert "No photograph in the training split of noise-v1 can be read" in error


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's compiler uses its deprecated API
@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler")
def test_compiled_network_gives_the_same_losses(dataset: Dataset, tmp_path: Path) -> None:
    command = ("models", "train", *CNN, "--data", dataset.folder, "--set", "epochs=2")
    run_json(*command, "--out", tmp_path / "plain")
    run_json(*command, "--out", tmp_path / "compiled", "--set", "compile=true")
    for plain, compiled in zip(history(tmp_path / "plain"), history(tmp_path / "compiled"), strict=True):
        for loss in ("train_loss", "validation_loss"):
            assert float(compiled[loss]) == pytest.approx(float(plain[loss]), rel=1e-3)
