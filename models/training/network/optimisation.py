"""One phase of gradient descent: optimiser, learning-rate schedule, gradient clipping and averaged weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lightmeter.models.training.methods import Network, Phase

_FIRST_FACTOR = 1e-3
"""Share of the learning rate with which a warm-up begins."""


@dataclass(frozen=True)
class OptimisationState:
    """Progress of a phase, for checkpoints.

    Attributes:
        optimiser: Tensors of the optimiser, by index of the parameter and name.
        average: Averaged weights, by name; empty without averaging.
        numbers: Learning rates and the state of the schedule, as JSON.
    """

    optimiser: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)


class Optimisation:
    """Updates the weights of a network in one phase.

    Args:
        network: The network; gradients of frozen parameters are disabled.
        training: Settings of the recipe.
        phase: The phase.
        steps_per_epoch: Number of batches in an epoch.
    """

    def __init__(self, network: nn.Module, training: Network, phase: Phase, steps_per_epoch: int) -> None:
        self._network, self._clip_norm = network, training.clip_norm
        self._parameters = set_trainable(network, phase)
        self._optimiser = _optimiser(self._parameters, training, phase)
        self._schedule = _schedule(self._optimiser, training, phase, steps_per_epoch)
        self._average: AveragedModel | None = None
        if training.ema_decay:
            self._average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay))

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self._optimiser.param_groups[0]["lr"])

    @property
    def evaluated(self) -> nn.Module:
        """The network to validate and to keep: that of the averaged weights, if there are any."""
        return self._average.module if self._average else self._network

    def zero_grad(self) -> None:
        """Forget the gradients of the step before."""
        self._optimiser.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update the weights by the gradients."""
        if self._clip_norm:
            nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        self._optimiser.step()
        if self._schedule:
            self._schedule.step()
        if self._average:
            self._average.update_parameters(self._network)

    def state(self) -> OptimisationState:
        """Return the progress of the phase."""
        numbers: dict[str, Any] = {"learning_rates": [group["lr"] for group in self._optimiser.param_groups]}
        if self._schedule:
            numbers["schedule"] = self._schedule.state_dict()
        average = dict(self._average.state_dict()) if self._average else {}
        return OptimisationState(self._optimiser.state_dict()["state"], average, numbers)

    def load(self, state: OptimisationState) -> None:
        """Continue from the progress of a phase."""
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": state.optimiser})
        for group, rate in zip(self._optimiser.param_groups, state.numbers["learning_rates"], strict=True):
            group["lr"] = rate
        if self._schedule:
            self._schedule.load_state_dict(state.numbers["schedule"])
        if self._average:
            self._average.load_state_dict(state.average)


def _optimiser(parameters: list[nn.Parameter], training: Network, phase: Phase) -> torch.optim.Optimizer:
    fused = True if parameters and parameters[0].is_cuda else None
    options: Mapping[str, Any] = {
        "lr": phase.learning_rate,
        "weight_decay": training.weight_decay,
        "fused": fused,
    }
    match training.optimiser:
        case "sgd":
            return torch.optim.SGD(parameters, **options, momentum=training.momentum, nesterov=training.momentum > 0)
        case "adam":
            return torch.optim.Adam(parameters, **options)
        case "adamw":
            return torch.optim.AdamW(parameters, **options)


def _schedule(
    optimiser: torch.optim.Optimizer, training: Network, phase: Phase, steps_per_epoch: int
) -> lr_scheduler.LRScheduler | None:
    """Return the schedule of a phase, which changes the learning rate after each step; None for a constant one."""
    warmup = math.ceil(training.warmup_epochs * steps_per_epoch)
    if training.schedule == "constant" and not warmup:
        return None
    steps = max(1, phase.epochs * steps_per_epoch - warmup)
    main: lr_scheduler.LRScheduler
    match training.schedule:
        case "cosine":
            main = lr_scheduler.CosineAnnealingLR(optimiser, steps)
        case "linear":
            main = lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
        case "constant":
            main = lr_scheduler.ConstantLR(optimiser, 1.0, 1)
    if not warmup:
        return main
    first = lr_scheduler.LinearLR(optimiser, _FIRST_FACTOR, 1.0, warmup)
    return lr_scheduler.SequentialLR(optimiser, [first, main], [warmup])


def frozen_parameters(network: nn.Module, phase: Phase) -> set[str]:
    """Return the names of the parameters that a phase does not train."""
    names = [name for name, _ in network.named_parameters()]
    backbone = [name for name in names if name.startswith("backbone.")]
    first = backbone[: round(phase.freeze_fraction * len(backbone))]
    return {*first, *(name for name in names if name.startswith(tuple(phase.freeze)))}


def set_trainable(network: nn.Module, phase: Phase) -> list[nn.Parameter]:
    """Enable gradients for all parameters but the frozen ones, and return the former."""
    frozen = frozen_parameters(network, phase)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def set_train_mode(network: nn.Module, phase: Phase) -> None:
    """Put a network into training mode, except frozen normalisation layers, which keep their statistics."""
    network.train()
    frozen = frozen_parameters(network, phase)
    for name, module in network.named_modules():
        own = [f"{name}.{parameter}" for parameter, _ in module.named_parameters(recurse=False)]
        if (own and frozen.issuperset(own)) or (name and phase.freeze and name.startswith(tuple(phase.freeze))):
            module.eval()
