"""What stands between a trunk and the answers: pooling over a photograph, and a linear head a target."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Heads(nn.Module):
    """One linear layer a target, on standardised features.

    Args:
        features: number of features.
        classes: number of classes of each target, by name.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, features: int, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.targets = nn.ModuleDict({name: nn.Linear(features, count) for name, count in classes.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target for features of shape (N, F)."""
        standard = (features - self.centre) / self.scale
        return {name: head(standard) for name, head in self.targets.items()}


def mean_and_deviation(features: Tensor) -> Tensor:
    """Pool the features of a photograph's patches.

    Args:
        features: shape (N, K, F).

    Returns:
        Shape (N, 2F): mean and standard deviation over the K patches; one patch has a deviation of zero.
    """
    return torch.cat([features.mean(1), features.std(1, correction=0)], 1)
