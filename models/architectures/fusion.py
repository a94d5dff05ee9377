"""Fusion of EXIF tags and image features, or either of them alone.

The networks of Lederer: a multilayer perceptron (256, 128, 64, 32) on the tags, a convolutional backbone on the view,
concatenated before the last layer.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..runtime.spec import ModelSpec
from . import register_architecture
from .backbones import DEFAULT, build_backbone
from .base import Heads, Network

_TAG_WIDTHS = (256, 128, 64, 32)
_IMAGE_WIDTH = 64


@register_architecture("fusion")
class Fusion(Network):
    """Concatenated tag and image features, with a linear head for each target.

    Args:
        spec: The specification of the model; the network uses the tags and the view that its preprocessing selects.
        backbone: ``efficientnet-lite0``, ``efficientnet-lite2`` or the name of a timm backbone.
    """

    def __init__(self, spec: ModelSpec, *, backbone: str = DEFAULT) -> None:
        super().__init__()
        image = build_backbone(backbone) if spec.preprocessing.view_size else None
        width = 0
        if tags := sum(map(len, spec.preprocessing.exif_columns.values())):
            self.tags = nn.Sequential(nn.BatchNorm1d(tags), *_dense((tags, *_TAG_WIDTHS)))
            width += _TAG_WIDTHS[-1]
        if image:
            self.backbone, features = image
            self.image = nn.Sequential(nn.Dropout(0.2), *_dense((features, _IMAGE_WIDTH)))
            width += _IMAGE_WIDTH
        self.heads = Heads(width, spec.classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, shape (N, F)."""
        parts = []
        if "exif" in inputs:
            parts.append(self.tags(inputs["exif"]))
        if "view" in inputs:
            parts.append(self.image(self.backbone(inputs["view"])))
        return torch.cat(parts, 1)


def _dense(widths: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return layers
