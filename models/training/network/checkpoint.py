"""Checkpoints: an interrupted training resumes from one with the same result as an uninterrupted one.

A checkpoint is one safetensors file: tensors, and numbers and texts as JSON in its header. Nothing is unpickled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path
from lightmeter.models.training.network.optimisation import OptimisationState

CHECKPOINT_FILE = "checkpoint.safetensors"

_HEADER = "lightmeter"
_NETWORK, _BEST, _OPTIMISER, _AVERAGE = "network", "best", "optimiser", "average"

Identity = Mapping[str, Any]
"""All that determines the result of a training, by what it is called in an error message."""


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
    folder: Path, identity: Identity, state: TrainerState, network: nn.Module, optimisation: OptimisationState
) -> None:
    """Write the checkpoint of a training atomically."""
    progress = {name: value for name, value in vars(state).items() if name != _BEST}
    numbers = optimisation.numbers
    header = json.dumps({"identity": identity, "progress": progress, "optimisation": numbers}, allow_nan=False)
    tensors = {
        f"{_OPTIMISER}.{number}.{name}": value
        for number, values in optimisation.optimiser.items()
        for name, value in values.items()
    }
    parts = ((_NETWORK, network.state_dict()), (_BEST, state.best), (_AVERAGE, optimisation.average))
    for part, values in parts:
        tensors |= {f"{part}.{name}": value for name, value in values.items()}
    with atomic_path(folder / CHECKPOINT_FILE) as temporary:
        save_file(plain_tensors(tensors), temporary, {_HEADER: header})


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint.

    Attributes:
        weights: State of the network.
        progress: Progress of the training.
        optimisation: Progress of its phase.
    """

    weights: dict[str, Tensor]
    progress: TrainerState
    optimisation: OptimisationState


def load_checkpoint(folder: Path, identity: Identity, network: nn.Module) -> Checkpoint | None:
    """Return the checkpoint of a training, or None if there is none.

    Args:
        folder: Directory of the checkpoint.
        identity: That of this training; the checkpoint must have the same.
        network: Network that the weights must fit; they are loaded into it.

    Raises:
        UsageError: The checkpoint cannot be read or belongs to another training.
    """
    file = folder / CHECKPOINT_FILE
    if not file.exists():
        return None
    try:
        parts, header = _read(file)
        other = header["identity"]
        differing = [name for name, value in json.loads(json.dumps(identity)).items() if other.get(name) != value]
        if not differing:
            network.load_state_dict(parts[_NETWORK])
            state = OptimisationState(_by_parameter(parts[_OPTIMISER]), parts[_AVERAGE], header["optimisation"])
            return Checkpoint(parts[_NETWORK], TrainerState(**header["progress"], best=parts[_BEST]), state)
    except Exception as error:  # a damaged file, or one of another program
        raise UsageError(f"Cannot read the checkpoint {file}; start again with --restart.") from error
    raise UsageError(
        f"The checkpoint in {folder} belongs to a training with another {' and another '.join(differing)}; "
        "start again with --restart, or choose another --name."
    )


def plain_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as safetensors can store them: on the CPU, contiguous, none sharing the memory of another."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _read(file: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Return the tensors of a checkpoint by part and name, and its header."""
    parts: dict[str, dict[str, Tensor]] = {_NETWORK: {}, _BEST: {}, _OPTIMISER: {}, _AVERAGE: {}}
    with safe_open(file, "pt") as content:
        header: dict[str, Any] = json.loads(content.metadata()[_HEADER])
        for key in content.keys():  # noqa: SIM118 - no mapping
            part, _, name = key.partition(".")
            parts[part][name] = content.get_tensor(key)
    return parts, header


def _by_parameter(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    return state
