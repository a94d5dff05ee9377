"""Fusion of EXIF tags and image features, or either of them alone.

The networks of Lederer: a multilayer perceptron (256, 128, 64, 32) on the tags, a convolutional backbone on the view,
concatenated before the last layer.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from . import register_architecture
from .backbones import DEFAULT, build_backbone

if TYPE_CHECKING:
    from ..runtime.spec import ModelSpec

_TAG_WIDTHS = (256, 128, 64, 32)
_IMAGE_WIDTH = 64


class Fusion(nn.Module):
    """Concatenated tag and image features, with a linear head for each target.

    Args:
        classes: Number of classes of each target, by name.
        tags: Number of tag columns; 0 for no tags.
        backbone: The image backbone and its number of features; None for no image.
    """

    def __init__(self, classes: Mapping[str, int], tags: int, backbone: tuple[nn.Module, int] | None) -> None:
        super().__init__()
        width = 0
        if tags:
            self.tags = nn.Sequential(nn.BatchNorm1d(tags), *_dense((tags, *_TAG_WIDTHS)))
            width += _TAG_WIDTHS[-1]
        if backbone:
            self.backbone, features = backbone
            self.image = nn.Sequential(nn.Dropout(0.2), *_dense((features, _IMAGE_WIDTH)))
            width += _IMAGE_WIDTH
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in classes.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        parts = []
        if "exif" in inputs:
            parts.append(self.tags(inputs["exif"]))
        if "view" in inputs:
            parts.append(self.image(self.backbone(inputs["view"])))
        features = torch.cat(parts, 1)
        return {name: head(features) for name, head in self.heads.items()}


def _dense(widths: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return layers


@register_architecture("fusion")
def build(spec: "ModelSpec", *, backbone: str = DEFAULT) -> nn.Module:
    """Build the network.

    Args:
        spec: The specification of the model; the network uses the tags and the view that its preprocessing selects.
        backbone: ``efficientnet-lite0``, ``efficientnet-lite2`` or the name of a timm backbone.
    """
    settings = spec.preprocessing
    tags = sum(map(len, settings.exif_columns.values()))
    return Fusion(spec.classes, tags, build_backbone(backbone) if settings.view_size else None)
