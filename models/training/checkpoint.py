"""Checkpoints: an interrupted training resumes from one with the same result as an uninterrupted one."""

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
    """Progress of a training; stored in checkpoints.

    Attributes:
        phase: Index of the current phase.
        epoch: Number of finished epochs of the phase.
        best_loss: Least validation loss of the phase.
        best_epoch: Epoch with the least validation loss.
        best: Weights with the least validation loss.
        history: A row for each epoch.
        seconds: Duration so far.
    """

    phase: int = 0
    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def start_phase(self, phase: int) -> None:
        """Start a phase."""
        self.phase, self.epoch, self.best_loss, self.best_epoch = phase, 0, float("inf"), 0

    def finish_epoch(self, learning_rate: float, train_loss: float, validation_loss: float, network: nn.Module) -> None:
        """Record an epoch, and the weights of the network if they are the best so far."""
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
    """Write the checkpoint of a training atomically."""
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
        folder: Directory of the checkpoint.
        fingerprint: Hash of recipe, data set and seed; that of the checkpoint must be the same.
        network: Its weights are replaced.

    Returns:
        State of the trainer and of the optimiser, or None without a checkpoint.

    Raises:
        UsageError: The checkpoint cannot be read or belongs to another training.
    """
    file = folder / CHECKPOINT_FILE
    if not file.is_file():
        return None
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"Cannot read the checkpoint {file}; train without --resume.") from error
    if content["fingerprint"] != fingerprint:
        raise UsageError(
            f"The checkpoint in {folder} belongs to another recipe, data set or seed; train without --resume."
        )
    network.load_state_dict(content["network"])
    return TrainerState(**content["state"]), content["optimiser"]
