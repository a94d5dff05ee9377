"""A photograph's EXIF tags, its picture, or both.

The networks of Lederer: a dense network (256, 128, 64, 32) on the tags, a convolutional one on the view, and the two
joined before the last layer.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .backbones import build_backbone

if TYPE_CHECKING:
    from lightmeter.models.runtime.spec import ModelSpec

_WIDTHS = (256, 128, 64, 32)
_PICTURE = 64


class Fusion(nn.Module):
    """What is known from the tags and what is seen, side by side, and a dense layer a target.

    Args:
        classes: number of classes of each target, by name.
        tags: number of columns of tags; 0 to do without them.
        trunk: what sees the picture, and how many features it gives; None to do without it.
    """

    def __init__(self, classes: Mapping[str, int], tags: int, trunk: tuple[nn.Module, int] | None) -> None:
        super().__init__()
        seen = 0
        if tags:
            self.tags = nn.Sequential(nn.BatchNorm1d(tags), *_dense((tags, *_WIDTHS)))
            seen += _WIDTHS[-1]
        if trunk:
            self.trunk, width = trunk
            self.picture = nn.Sequential(nn.Dropout(0.2), *_dense((width, _PICTURE)))
            seen += _PICTURE
        self.heads = nn.ModuleDict({name: nn.Linear(seen, count) for name, count in classes.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        parts = []
        if "exif" in inputs:
            parts.append(self.tags(inputs["exif"]))
        if "view" in inputs:
            parts.append(self.picture(self.trunk(inputs["view"])))
        seen = torch.cat(parts, 1)
        return {name: head(seen) for name, head in self.heads.items()}


def _dense(widths: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return layers


def build(spec: "ModelSpec") -> nn.Module:
    """Return the network of a spec."""
    cut = spec.preprocessing
    return Fusion(spec.classes, sum(map(len, cut.exif_columns.values())), build_backbone(spec) if cut.view else None)
