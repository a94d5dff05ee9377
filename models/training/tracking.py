"""Experiment trackers: TensorBoard, MLflow, and Weights & Biases; each is an extra and off by default."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lightmeter.errors import require_extra
from lightmeter.settings import LoggerName
from lightmeter.terminal import console

Values = Mapping[str, float]


class Tracker(Protocol):
    """A program that records trainings."""

    def log(self, step: int, values: Values) -> None:
        """Record values of a step."""

    def close(self) -> None:
        """End the record of a run."""


class TensorBoard:
    """Writes event files to ``tensorboard/RUN``; view them with ``tensorboard --logdir tensorboard``."""

    def __init__(self, run: str, folder: Path, settings: Mapping[str, Any]) -> None:
        with require_extra("tensorboard", "tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

        # What an interrupted training had recorded is written again when it resumes.
        self._writer = SummaryWriter(str(folder / "tensorboard" / run), purge_step=0)
        rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
        self._writer.add_text("recipe", f"| setting | value |\n|---|---|\n{rows}")

    def log(self, step: int, values: Values) -> None:
        """Write the values of a step at once."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        self._writer.close()


class MLflow:
    """Records a run at ``MLFLOW_TRACKING_URI``, or else in ``mlflow.db`` of the project."""

    def __init__(self, run: str, folder: Path, settings: Mapping[str, Any]) -> None:
        with require_extra("mlflow", "mlflow"):
            from mlflow.tracking import MlflowClient

        address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        self._client = MlflowClient(address)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "lightmeter")
        experiment = self._client.get_experiment_by_name(name)
        identifier = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self._run = self._client.create_run(identifier, run_name=run).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, str(value)[:500])

    def log(self, step: int, values: Values) -> None:
        """Record the values of a step."""
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run)


class WeightsAndBiases:
    """Records a run at W&B with ``WANDB_API_KEY`` or ``WANDB_MODE``, or else in the project's folder ``wandb``."""

    def __init__(self, run: str, folder: Path, settings: Mapping[str, Any]) -> None:
        with require_extra("wandb", "wandb"):
            import wandb

        mode = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        options: dict[str, Any] = {"project": os.environ.get("WANDB_PROJECT", "lightmeter"), "mode": mode}
        quiet = wandb.Settings(silent=True, console="off")
        self._run = wandb.init(**options, name=run, dir=str(folder), config=dict(settings), settings=quiet)

    def log(self, step: int, values: Values) -> None:
        """Record the values of a step."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


_TRACKERS: Mapping[LoggerName, Callable[[str, Path, Mapping[str, Any]], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
}


class Tracking:
    """The trackers of one training; one that fails is reported and left out, and the training goes on.

    Args:
        trackers: Trackers by name.
    """

    def __init__(self, trackers: Mapping[LoggerName, Tracker] | None = None) -> None:
        self._trackers = dict(trackers or {})

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Record the numbers among the values of a step."""
        numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
        self._each(lambda tracker: tracker.log(step, numbers))

    def close(self) -> None:
        """End the records."""
        self._each(lambda tracker: tracker.close())

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                action(tracker)
            except Exception as error:  # noqa: BLE001 - of servers and files of other programs
                del self._trackers[name]
                console.get_console().note(f"The logger {name} failed, and training continues without it: {error}")


@contextmanager
def open_tracking(
    names: Sequence[LoggerName], run: str, folder: Path, settings: Mapping[str, Any]
) -> Iterator[Tracking]:
    """Open trackers for the duration of a block.

    Args:
        names: Names of the trackers.
        run: Name of the training run.
        folder: Folder of local records.
        settings: Every setting of the recipe.

    Raises:
        UsageError: The extra of a tracker is not installed.
    """
    tracking = Tracking({name: _TRACKERS[name](run, folder, settings) for name in dict.fromkeys(names)})
    try:
        yield tracking
    finally:
        tracking.close()
