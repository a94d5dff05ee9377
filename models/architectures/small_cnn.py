"""Small networks that are trained from random weights."""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..runtime.spec import ModelSpec
from . import register_architecture
from .base import Heads, Network, apply_to_patches


@register_architecture("small-cnn")
class SmallCnn(Network):
    """Three convolutions with 2 × 2 max pooling and two dense layers, on the whole view.

    Args:
        spec: The specification of the model.
        filters: Number of filters of the first convolution; the others have twice and four times as many.
        dense: Width of the first dense layer.
    """

    def __init__(self, spec: ModelSpec, *, filters: int = 16, dense: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = (3, filters, 2 * filters, 4 * filters)
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        features = widths[-1] * (spec.preprocessing.view_size // 8) ** 2
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, dense), nn.ReLU(inplace=True))
        self.heads = Heads(dense, spec.classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, shape (N, F)."""
        features: Tensor = self.body(inputs["view"])
        return features


@register_architecture("grid-vote")
class GridVote(Network):
    """A dense network on each tiny grid of pixels; the grids of a photograph vote.

    The vote is the mean of the probabilities of the grids; its logarithm is returned. The weights are initialised as in
    K. He et al. (ICCV 2015), without which no signal passes so many narrow layers.

    Args:
        spec: The specification of the model; its patches are the grids.
        layers: Number of hidden layers.
        width: Width of each hidden layer.
    """

    def __init__(self, spec: ModelSpec, *, layers: int = 20, width: int = 15) -> None:
        super().__init__()
        widths = [3 * spec.preprocessing.patch_size**2, *[width] * layers]
        dense = [nn.Linear(before, after) for before, after in pairwise(widths)]
        for layer in (layer for layer in dense if not layer.weight.is_meta):  # torch would import its compiler
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.body = nn.Sequential(nn.Flatten(), *(part for layer in dense for part in (layer, nn.ReLU(inplace=True))))
        self.heads = Heads(widths[-1], spec.classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads for each grid, shape (N, K, F)."""
        return apply_to_patches(self.body, inputs["patches"])

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the logarithm of the mean probabilities, shape (N, C), by target."""
        votes = {name: torch.log_softmax(logits, 2) for name, logits in super().forward(inputs).items()}
        return {name: torch.logsumexp(vote, 1) - math.log(vote.shape[1]) for name, vote in votes.items()}
