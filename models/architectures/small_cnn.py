"""Small networks that are trained from random weights."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from . import register_architecture

if TYPE_CHECKING:
    from ..runtime.spec import ModelSpec


class SmallCnn(nn.Module):
    """Three convolutions with 2 × 2 max pooling and two dense layers, on the whole view.

    Args:
        classes: Number of classes of each target, by name.
        side: Side of the view in pixels.
        filters: Number of filters of the first convolution; the others have twice and four times as many.
        dense: Width of the first dense layer.
    """

    def __init__(self, classes: Mapping[str, int], side: int, filters: int, dense: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in (filters, 2 * filters, 4 * filters):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = width
        features = channels * (side // 8) ** 2
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, dense), nn.ReLU(inplace=True))
        self.heads = nn.ModuleDict({name: nn.Linear(dense, count) for name, count in classes.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        features = self.body(inputs["view"])
        return {name: head(features) for name, head in self.heads.items()}


class GridVote(nn.Module):
    """A dense network on each tiny grid of pixels; the grids of a photograph vote.

    The vote is the mean of the probabilities of the grids; its logarithm is returned. The weights are initialised as in
    K. He et al. (ICCV 2015), without which no signal passes so many narrow layers.

    Args:
        classes: Number of classes of each target, by name.
        side: Side of a grid in pixels.
        layers: Number of hidden layers.
        width: Width of each hidden layer.
    """

    def __init__(self, classes: Mapping[str, int], side: int, layers: int, width: int) -> None:
        super().__init__()
        widths = [3 * side * side, *(width for _ in range(layers))]
        dense = [nn.Linear(before, after) for before, after in pairwise(widths)]
        for layer in dense:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.body = nn.Sequential(nn.Flatten(), *(part for layer in dense for part in (layer, nn.ReLU(inplace=True))))
        self.heads = nn.ModuleDict({name: nn.Linear(widths[-1], count) for name, count in classes.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the logarithm of the mean probabilities, shape (N, C), by target."""
        grids = inputs["patches"]
        features = self.body(grids.flatten(0, 1)).unflatten(0, grids.shape[:2])
        votes = {name: torch.log_softmax(head(features), 2) for name, head in self.heads.items()}
        return {name: torch.logsumexp(vote, 1) - math.log(vote.shape[1]) for name, vote in votes.items()}


@register_architecture("small-cnn")
def build(spec: "ModelSpec", *, filters: int = 16, dense: int = 64) -> nn.Module:
    """Build convolutions on the view.

    Args:
        spec: The specification of the model.
        filters: Number of filters of the first convolution.
        dense: Width of the first dense layer.
    """
    return SmallCnn(spec.classes, spec.preprocessing.view_size, filters, dense)


@register_architecture("grid-vote")
def build_grid_vote(spec: "ModelSpec", *, layers: int = 20, width: int = 15) -> nn.Module:
    """Build a dense network on grids of pixels.

    Args:
        spec: The specification of the model; its patches are the grids.
        layers: Number of hidden layers.
        width: Width of each hidden layer.
    """
    return GridVote(spec.classes, spec.preprocessing.patch_size, layers, width)
