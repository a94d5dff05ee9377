"""What every way of fitting takes and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.metrics.calibration import fit_multilabel_temperature, fit_temperature
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.loader import Row, class_numbers, class_sets


@dataclass(frozen=True)
class FitJob:
    """What there is to fit.

    Attributes:
        dataset: whose photographs are read.
        rows: of the splits ``train`` and ``validation``.
        seed: of everything that is drawn.
        partial: the folder of checkpoints; it goes when the run is whole.
        resume: go on from the checkpoint there, if there is one.
    """

    dataset: Dataset
    rows: Mapping[str, Sequence[Row]]
    seed: int
    partial: Path
    resume: bool = False


@dataclass
class FitResult:
    """How a fit went.

    Attributes:
        temperatures: by target.
        facts: for ``model.toml``: what was chosen, how long was waited.
        history: what was tried or passed through, a row each.
        unreadable: photographs that could not be used, and why.
        trained_parameters: how many numbers were fitted.
        earlier_seconds: how long training had gone before it was interrupted, if it was.
        final: parameters that take their place in the network once validation is scored, by name.
    """

    temperatures: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[dict[str, Any]] = field(default_factory=list)
    trained_parameters: int = 0
    earlier_seconds: float = 0.0
    final: dict[str, Tensor] = field(default_factory=dict)

    def finish(self, network: nn.Module) -> None:
        """Put the final parameters into a network."""
        for name, values in self.final.items():
            network.get_parameter(name).data.copy_(values)

    def calibrate(
        self, logits: Mapping[str, NDArray[np.float32]], rows: Sequence[Row], targets: Sequence[Target]
    ) -> None:
        """Fit the temperatures on validation.

        Args:
            logits: shape (N, C) by target.
            rows: of the N photographs.
            targets: of the model.
        """
        for target in targets:
            found = logits[target.name]
            if target.multiple:
                sets = class_sets(rows, target)
                known = np.isfinite(sets[:, 0])
                self.temperatures[target.name] = fit_multilabel_temperature(found[known], sets[known])
            else:
                truth = class_numbers(rows, target)
                known = truth >= 0
                self.temperatures[target.name] = fit_temperature(found[known], truth[known])
