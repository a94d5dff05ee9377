"""How far a training has come, in a file from which it goes on as if it had not been interrupted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path

CHECKPOINT_FILE = "checkpoint.pt"


@dataclass
class TrainerState:
    """How far training has come; all of it stands in the checkpoint.

    Attributes:
        phase: number of the phase under way.
        epoch: epochs of it that are done.
        best_loss: least validation loss of the phase.
        best_epoch: the epoch that gave it.
        best: the weights that gave it.
        history: a row an epoch.
        seconds: how long it took.
    """

    phase: int = 0
    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def begin(self, phase: int) -> None:
        """Begin a phase."""
        self.phase, self.epoch, self.best_loss, self.best_epoch = phase, 0, float("inf"), 0

    def note(self, learning_rate: float, train_loss: float, validation_loss: float, network: nn.Module) -> None:
        """Count an epoch, and keep the network's weights if none were better."""
        self.epoch += 1
        self.history.append(
            {
                "phase": self.phase + 1,
                "epoch": self.epoch,
                "learning_rate": learning_rate,
                "train_loss": train_loss,
                "validation_loss": validation_loss,
            }
        )
        if validation_loss < self.best_loss:
            self.best_loss, self.best_epoch = validation_loss, self.epoch
            self.best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def save_checkpoint(
    folder: Path, fingerprint: str, state: TrainerState, network: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Write the checkpoint."""
    content = {
        "fingerprint": fingerprint,
        "state": vars(state),
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    with atomic_path(folder / CHECKPOINT_FILE) as temporary:
        torch.save(content, temporary)


def load_checkpoint(folder: Path, fingerprint: str, network: nn.Module) -> tuple[TrainerState, dict[str, Any]] | None:
    """Load a checkpoint into a network.

    Args:
        folder: that holds the checkpoint, if there is one.
        fingerprint: of the recipe, the data set and the seed; the checkpoint must be of the same.
        network: whose weights are replaced.

    Returns:
        The state, and the optimiser's; None where there is no checkpoint.

    Raises:
        UsageError: if the checkpoint cannot be read or is of another training.
    """
    file = folder / CHECKPOINT_FILE
    if not file.is_file():
        return None
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"The checkpoint {file} cannot be read; train without --resume.") from error
    if content["fingerprint"] != fingerprint:
        raise UsageError(f"The checkpoint in {folder} is of another recipe, data set or seed; train without --resume.")
    network.load_state_dict(content["network"])
    return TrainerState(**content["state"]), content["optimiser"]
