"""Trainings stop, go on, end early and are shared by processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.trainer import Trainer
from tests.support import run_command, run_error, run_json, run_text

from .conftest import CNN, TINY, history, make_dataset


def test_a_killed_training_goes_on_as_if_it_had_not_been(dataset: Dataset, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_json("models", "train", *CNN, "--data", dataset.folder, "--out", whole)
    command = ["models", "train", *CNN, "--data", str(dataset.folder), "--out", str(killed)]
    slow = (
        "import sys, time; from models import descent; from lightmeter.cli import main; save = descent.Descent._save\n"
        "def slowly(*a):\n    save(*a); time.sleep(0.5)\n"
        "descent.Descent._save = slowly; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen([sys.executable, "-c", slow, *command], stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "killed.partial" / "checkpoint.pt"
    for _ in range(600):
        if checkpoint.is_file():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    run_json(*command, "--resume")
    assert history(killed) == history(whole)
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("recipe", ["patches", "lightmeter-attention"])
def test_a_killed_training_does_not_look_at_photographs_twice(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a frozen trunk sees is written down as it goes, and taken up by whoever comes next."""
    dataset = make_dataset(tmp_path / "data" / "noise-v1")
    command = ["models", "train", recipe, *TINY[recipe], "--data", str(dataset.folder), "--out", str(tmp_path / "run")]
    dying = (
        "import os, sys; from models import cache; from lightmeter.cli import main; write = cache.write_atomic\n"
        "def last(*words):\n    write(*words); os.kill(os.getpid(), 9)\n"
        "cache.write_atomic, cache._EVERY = last, 4; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", dying, *command], check=False)
    assert done.returncode == -signal.SIGKILL
    seen: list[str] = []
    read = Predictor.preprocess
    monkeypatch.setattr(Predictor, "preprocess", lambda self, data, *rest: seen.append("") or read(self, data, *rest))
    run_json(*command, "--resume")
    assert len(seen) == 4 * 12 - 4  # 12 to learn from, 12 to choose by; then these are scored, and those measured
    whole = tmp_path / "whole"
    run_json(*command[:-1], whole, "--device", "cpu")
    assert (whole / "model.safetensors").read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()


def test_what_is_stopped_from_the_keyboard_can_go_on(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_validate", stop)
    command = ["models", "train", *CNN, "--data", dataset.folder, "--out", tmp_path / "run"]
    result = run_command(*command)
    assert result.code == 130
    assert "the same command with --resume goes on from there" in result.error
    monkeypatch.undo()
    assert run_command(*command, "--resume", "--quiet")


def test_training_ends_when_validation_no_longer_improves(dataset: Dataset, tmp_path: Path) -> None:
    options = ["--set", "epochs=50", "--set", "patience=2", "--set", "learning_rate=0.05"]
    run_json("models", "train", *CNN[:3], *options, "--data", dataset.folder, "--out", tmp_path / "run")
    losses = [float(row["validation_loss"]) for row in history(tmp_path / "run")]
    assert len(losses) < 50
    assert losses.index(min(losses)) == len(losses) - 3


def test_training_does_not_touch_the_test_split(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data" / "noise-v1")
    for row in dataset.rows("test"):
        (dataset.store / row["path"]).unlink()
    for recipe in ("patches", "haoran-cnn", "quality-features"):
        run_json("models", "train", recipe, *TINY[recipe], "--data", dataset.folder, "--out", tmp_path / recipe)


def test_a_checkpoint_of_something_else_is_not_taken_up(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["models", "train", *CNN, "--data", str(dataset.folder), "--out", str(run)]
    run_text(*command, "--quiet")
    partial = tmp_path / "again.partial"
    partial.mkdir()
    torch.save({"fingerprint": "another"}, partial / "checkpoint.pt")
    said = run_error(*command[:-1], tmp_path / "again", "--resume")
    assert "of another recipe, data set or seed" in said
    (partial / "checkpoint.pt").write_bytes(b"junk")
    assert "cannot be read" in run_error(*command[:-1], tmp_path / "again", "--resume")


def test_a_loss_that_is_no_number_is_said(dataset: Dataset, tmp_path: Path) -> None:
    options = ["--set", "learning_rate=1e30", "--data", dataset.folder, "--out", tmp_path / "run"]
    result = run_command("models", "train", *CNN, *options)
    assert result.code == 1
    assert "The loss became nan in phase 1, epoch" in result.error
    assert not (tmp_path / "run").exists()


def shared_by_two(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run Python with such arguments in two processes that train one network."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone"]
    return subprocess.run(
        [*launch, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_two_processes_train_what_one_trains(dataset: Dataset, tmp_path: Path) -> None:
    options = [*CNN, "--set", "flip=false", "--data", str(dataset.folder)]
    run_json("models", "train", *options, "--out", tmp_path / "one")
    done = shared_by_two(["-m", "lightmeter", "models", "train", *options, "--out", str(tmp_path / "two"), "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(tmp_path / "two")
    for one, two in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        assert float(two["validation_loss"]) == pytest.approx(float(one["validation_loss"]), abs=0.05)


def test_processes_decide_alike(tmp_path: Path) -> None:
    """Each normalises by its own photographs; if they judged apart, one could stop and the other wait for ever."""
    script = tmp_path / "judge.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport torch\nfrom models import distributed\n"
        "with distributed.together('cpu'), torch.inference_mode():\n"
        "    judged = distributed.of_first(torch.tensor(5.0 + distributed.rank()))\n"
        "    Path(sys.argv[1], str(distributed.rank())).write_text(str(float(judged)))\n"
    )
    (told := tmp_path / "told").mkdir()
    done = shared_by_two([str(script), str(told)])
    assert {rank.name: rank.read_text() for rank in told.iterdir()} == {"0": "5.0", "1": "5.0"}, done.stderr


def test_encoded_once_is_trained_as_if_it_were_seen_anew(dataset: Dataset, tmp_path: Path) -> None:
    """What a frozen trunk sees is kept in 16 bits; the losses are the same within that."""
    small = ["lightmeter-attention", *TINY["lightmeter-attention"], "--set", "flip=false", "--set", "dropout=0.0"]
    for name, once in (("once", "true"), ("anew", "false")):
        options = ["--set", f"cache_activations={once}", "--data", dataset.folder, "--out", tmp_path / name]
        run_json("models", "train", *small, *options)
    for one, other in zip(history(tmp_path / "once"), history(tmp_path / "anew"), strict=True):
        assert float(one["validation_loss"]) == pytest.approx(float(other["validation_loss"]), rel=0.02)


def test_what_changes_cannot_be_encoded_once(dataset: Dataset, tmp_path: Path) -> None:
    options = ["--set", "phases=[{epochs=1, learning_rate=1e-3}]", "--data", dataset.folder, "--out", tmp_path / "run"]
    assert "cache_activations needs the trunk frozen" in run_error("models", "train", "lightmeter-attention", *options)


def test_the_report_says_how_training_went(dataset: Dataset, tmp_path: Path) -> None:
    told = run_json("models", "train", *CNN, "--data", dataset.folder, "--out", tmp_path / "run")["metrics"]["training"]
    assert 0 <= told["waiting_share"] <= 1
    assert told["photographs"] == {"shutter": "fast 6, slow 6"}
    assert told["class_weights"] == "none"
    assert told["energy"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(f"<td>{fact}" in page for fact in ("waiting share", "photographs, shutter", "class weights", "energy"))


def test_a_last_photograph_alone_is_no_batch(tmp_path: Path) -> None:
    """One photograph has no deviation that a normalisation layer could divide by."""
    dataset = make_dataset(tmp_path / "noise-v1", count=33)
    left = len(dataset.rows("train")) - 1
    options = ["--set", f"batch_size={left}", "--set", "exif=['iso']", "--set", "epochs=2", "--device", "cpu"]
    run_json("models", "train", "lederer-exif", "--data", dataset.folder, "--out", tmp_path / "run", *options)


@pytest.mark.parametrize("recipe", ["patches", "quality-features", "haoran-cnn"])
def test_a_split_that_cannot_be_read_at_all_is_said(recipe: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "cut-v1", damaged=range(36))
    said = run_error("models", "train", recipe, "--data", dataset.folder, "--out", tmp_path / "run")
    assert "No photograph in the training split of noise-v1 can be read" in said


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's compiler uses what torch gives up
@pytest.mark.skipif(not shutil.which("c++"), reason="torch compiles with a C++ compiler, and there is none")
def test_a_compiled_network_is_trained_like_any_other(dataset: Dataset, tmp_path: Path) -> None:
    words = ("models", "train", *CNN, "--data", dataset.folder, "--set", "epochs=2")
    run_json(*words, "--out", tmp_path / "plain")
    run_json(*words, "--out", tmp_path / "compiled", "--set", "compile=true")
    for plain, compiled in zip(history(tmp_path / "plain"), history(tmp_path / "compiled"), strict=True):
        for loss in ("train_loss", "validation_loss"):
            assert float(compiled[loss]) == pytest.approx(float(plain[loss]), rel=1e-3)
