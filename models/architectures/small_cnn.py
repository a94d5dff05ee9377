"""Small networks that are trained from nothing."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightmeter.models.runtime.spec import ModelSpec


class SmallCnn(nn.Module):
    """Three convolutions, each followed by a maximum over two by two, and two dense layers, on the whole view.

    Args:
        classes: number of classes of each target, by name.
        side: of the view in pixels.
        filters: of the first convolution; the others have twice and four times as many.
        dense: width of the first dense layer.
    """

    def __init__(self, classes: Mapping[str, int], side: int, filters: int, dense: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in (filters, 2 * filters, 4 * filters):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = width
        seen = channels * (side // 8) ** 2
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(seen, dense), nn.ReLU(inplace=True))
        self.heads = nn.ModuleDict({name: nn.Linear(dense, count) for name, count in classes.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        seen = self.body(inputs["view"])
        return {name: head(seen) for name, head in self.heads.items()}


class GridVote(nn.Module):
    """A dense network on each tiny grid of pixels; the grids of a photograph vote.

    The vote is the mean of the grids' probabilities, given as its logarithm. The weights begin as K. He et al. (ICCV
    2015) draw them, or nothing would pass through so many narrow layers.

    Args:
        classes: number of classes of each target, by name.
        side: of a grid in pixels.
        layers: number of hidden layers.
        width: of each.
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
        """Return logarithms of shares of the vote, shape (N, C), by target."""
        grids = inputs["patches"]
        seen = self.body(grids.flatten(0, 1)).unflatten(0, grids.shape[:2])
        shares = {name: torch.log_softmax(head(seen), 2) for name, head in self.heads.items()}
        return {name: torch.logsumexp(each, 1) - math.log(each.shape[1]) for name, each in shares.items()}


def build(spec: "ModelSpec") -> nn.Module:
    """Return the network of a spec: convolutions on the view, or a dense network on grids."""
    options = {"filters": 16, "dense": 64, "layers": 20, "width": 15, **spec.architecture_options}
    cut = spec.preprocessing
    if spec.architecture == "grid-vote":
        return GridVote(spec.classes, cut.patch_size, int(options["layers"]), int(options["width"]))
    return SmallCnn(spec.classes, cut.view, int(options["filters"]), int(options["dense"]))
