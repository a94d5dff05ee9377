"""Schedules, averaging, clipping, augmentation and loggers: exact, resumable, and off by default."""

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.spec import WEIGHTS_FILE
from lightmeter.models.training.methods import Network, Phase
from lightmeter.models.training.network.augmentation import Augmentation
from lightmeter.models.training.network.optimisation import Optimisation
from lightmeter.models.training.network.trainer import Trainer
from lightmeter.models.training.recipe import read_recipe
from lightmeter.models.training.tracking import Tracking
from tests.models.conftest import CNN, history, settings
from tests.support import run_command, run_error, run_json

EVERYTHING = settings(
    "optimiser=sgd", "schedule=cosine", "warmup_epochs=1", "clip_norm=1", "ema_decay=0.9", "crop_pixels=2",
    "colour=0.2", "blur=1", "epochs=4",
)  # fmt: skip


def network_settings(**values: object) -> Network:
    phases = [Phase(epochs=4, learning_rate=0.1)]
    return Network.model_validate({"method": "network", "phases": phases, "flip": False} | values)


def rates(**values: object) -> list[float]:
    training = network_settings(**values)
    optimisation = Optimisation(nn.Linear(2, 2), training, training.phases[0], steps_per_epoch=5)
    result = []
    for _ in range(20):
        result.append(optimisation.learning_rate)
        optimisation.step()
    return [*result, optimisation.learning_rate]


def test_learning_rate_follows_the_schedule() -> None:
    assert rates() == [0.1] * 21
    cosine, linear = rates(schedule="cosine"), rates(schedule="linear", warmup_epochs=1)
    assert cosine[0] == 0.1
    assert cosine[10] == pytest.approx(0.05)
    assert cosine[-1] == pytest.approx(0)
    assert linear[0] == pytest.approx(1e-4)
    assert linear[5] == pytest.approx(0.1)
    assert linear[-1] == pytest.approx(0, abs=1e-8)
    with pytest.raises(ValueError, match="warmup_epochs must be less"):
        network_settings(warmup_epochs=4)


def test_gradients_are_clipped_and_weights_averaged() -> None:
    training = network_settings(optimiser="sgd", momentum=0, clip_norm=1, ema_decay=0.5)
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    optimisation = Optimisation(network, training, training.phases[0], 1)
    for _ in range(2):
        optimisation.zero_grad()
        network.weight.grad = torch.full((1, 1), 100.0)
        optimisation.step()
    assert network.weight.item() == pytest.approx(-0.2, rel=1e-4)  # two steps of 0.1 times a gradient of norm 1
    assert optimisation.evaluated.weight.item() == pytest.approx(-0.15, rel=1e-4)  # type: ignore[union-attr,operator]


def test_augmentation_moves_pixels_without_changing_them() -> None:
    images = torch.randint(0, 256, (3, 2, 3, 9, 7), dtype=torch.uint8)
    exif = torch.ones(3, 4)
    result = Augmentation(network_settings(flip=True, crop_pixels=3), [1])({"patches": images, "exif": exif})
    assert result["exif"] is exif
    assert result["patches"].shape == images.shape
    assert not torch.equal(result["patches"], images)
    for before, after in zip(images, result["patches"], strict=True):
        assert set(after.unique().tolist()) <= set(before.unique().tolist())
    unchanged = Augmentation(network_settings(), [1])({"patches": images})
    assert unchanged["patches"] is images
    coloured = Augmentation(network_settings(colour=0.5, blur=2), [1])({"patches": images})["patches"]
    assert coloured.shape == images.shape
    assert coloured.dtype == torch.uint8


@pytest.mark.filterwarnings("default")  # of the loggers' own libraries
def test_interrupted_training_with_everything_resumes_to_the_same_weights_and_is_logged(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    command = ["models", "train", *CNN, *EVERYTHING, "--data", dataset.folder]
    expected = run_json(*command, "--name", "expected")["run"]
    train_epoch = Trainer.train_epoch

    def interrupt(self: Trainer, *args: object) -> float:
        if self.state.epoch == 2:
            assert len(history(self.job.partial)) == 2
            raise KeyboardInterrupt
        return train_epoch(self, *args)  # type: ignore[arg-type]

    loggers = ["--name", "logged", "--logger", "tensorboard", "--logger", "mlflow", "--logger", "wandb"]
    monkeypatch.setattr(Trainer, "train_epoch", interrupt)
    interrupted = run_command(*command, *loggers)
    assert interrupted.code == 130
    assert "phase 1, epoch 2 of 4: training loss" in interrupted.error
    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
    resumed = run_json(*command, *loggers, "--resume")["run"]
    assert (Path(resumed) / WEIGHTS_FILE).read_bytes() == (Path(expected) / WEIGHTS_FILE).read_bytes()
    assert (Path(resumed) / "history.csv").read_bytes() == (Path(expected) / "history.csv").read_bytes()
    with sqlite3.connect(project / "mlflow.db") as database:
        steps = database.execute("SELECT DISTINCT step FROM metrics WHERE key = 'validation_loss'").fetchall()
        keys = {row[0] for row in database.execute("SELECT DISTINCT key FROM metrics")}
        assert database.execute("SELECT value FROM params WHERE key = 'training.schedule'").fetchone() == ("cosine",)
    database.close()
    assert sorted(steps) == [(1,), (2,), (3,), (4,)]
    assert "validation/shutter/accuracy" in keys
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(project / "tensorboard" / "logged"))
    events.Reload()
    assert [event.step for event in events.Scalars("train_loss")] == [1, 2, 3, 4]
    assert list((project / "wandb").glob("offline-run-*/*.wandb"))


def test_failing_logger_does_not_stop_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    logged: list[int] = []

    def fail(*_: object) -> None:
        raise OSError("no server")

    trackers = {
        "mlflow": SimpleNamespace(log=fail, close=fail),
        "wandb": SimpleNamespace(log=lambda step, _: logged.append(step), close=lambda: None),
    }
    tracking = Tracking(trackers)  # type: ignore[arg-type]
    for step in (1, 2):
        tracking.log(step, {"loss": 1.0, "target": "iso"})
    tracking.close()
    assert logged == [1, 2]


def test_unknown_and_missing_loggers_are_reported(
    dataset: Dataset, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["models", "train", *CNN, "--data", dataset.folder]
    assert "did you mean tensorboard" in run_error(*command, "--logger", "tensorbord")
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    assert "lightmeter[wandb]" in run_error(*command, "--logger", "wandb")


def test_defaults_change_nothing() -> None:
    training = read_recipe("haoran-cnn").training
    assert isinstance(training, Network)
    assert (training.schedule, training.clip_norm, training.ema_decay) == ("constant", 0, 0)
    assert (training.crop_pixels, training.colour, training.blur) == (0, 0, 0)
    json.dumps(training.model_dump(mode="json"))
