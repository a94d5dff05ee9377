"""Arguments and result of all training methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lightmeter.executors.base import Executor
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.metrics.calibration import fit_multilabel_temperature, fit_temperature
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.data.feature_cache import Inputs
from lightmeter.models.training.data.loader import Row, class_matrix, class_numbers
from lightmeter.models.training.tracking import Tracking


@dataclass(frozen=True)
class FitJob:
    """What to fit to.

    Attributes:
        dataset: Data set with the photographs.
        rows: Labelled manifest rows of the splits ``train`` and ``validation``.
        seed: Random seed.
        partial: Directory of checkpoints; deleted once the run is complete.
        resume: Resume from the checkpoint, if there is one.
        tracking: Records each epoch.
        executor: Where inputs, activations and features are computed; None for this process.
    """

    dataset: Dataset
    rows: Mapping[str, Sequence[Row]]
    seed: int
    partial: Path
    resume: bool = False
    tracking: Tracking = field(default_factory=Tracking)
    executor: Executor | None = None


@dataclass
class FitResult:
    """Outcome of a fit.

    Attributes:
        temperatures: Fitted temperature of each target.
        facts: Facts for ``model.toml``, for example selected hyperparameters.
        history: Rows of ``history.csv``.
        inputs: What the method fitted to, by split: inputs, activations or features of the photographs.
        unreadable: Photographs that could not be used, with the reason.
        trained_parameters: Number of fitted parameters.
        earlier_seconds: Duration of the training before it was interrupted.
        final: Parameters, by name, that replace those of the network once validation is scored.
    """

    temperatures: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    inputs: dict[str, Inputs] = field(default_factory=dict)
    unreadable: list[dict[str, Any]] = field(default_factory=list)
    trained_parameters: int = 0
    earlier_seconds: float = 0.0
    final: dict[str, Tensor] = field(default_factory=dict)

    def finish(self, network: nn.Module) -> None:
        """Copy the final parameters to a network."""
        for name, values in self.final.items():
            network.get_parameter(name).data.copy_(values)

    def calibrate(
        self, logits: Mapping[str, NDArray[np.float32]], rows: Sequence[Row], targets: Sequence[Target]
    ) -> None:
        """Fit the temperature of each target.

        Args:
            logits: Logits by target, each of shape (N, C).
            rows: Manifest rows of the N photographs; unlabelled ones are ignored.
            targets: Targets of the model.
        """
        for target in targets:
            if target.multilabel:
                matrix = class_matrix(rows, target)
                labelled = np.isfinite(matrix[:, 0])
                temperature = fit_multilabel_temperature(logits[target.name][labelled], matrix[labelled])
            else:
                classes = class_numbers(rows, target)
                labelled = classes >= 0
                temperature = fit_temperature(logits[target.name][labelled], classes[labelled])
            self.temperatures[target.name] = temperature
