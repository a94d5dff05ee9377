"""Statistics of a frozen backbone at every depth, in native patches and in the whole view.

Noise, sharpening and grain are gone from the last features of a backbone, which is trained to ignore them, but not from
its early ones. So the mean and the standard deviation of every channel are taken after each stage (texture statistics,
as in L. A. Gatys et al., "Texture synthesis using convolutional neural networks", NeurIPS 2015), and a penalised linear
head for each target uses them all. The patches show noise and blur; the view shows the light, the scene and the depth
of field, and may have a backbone of its own, made for larger images.
"""

from itertools import pairwise

import torch
from torch import Tensor

from ..runtime.spec import ModelSpec
from . import register_architecture
from .backbones import DEFAULT
from .base import LinearHeads, PatchNetwork
from .efficientnet_lite import FEATURES, STEM, VARIANTS, EfficientNetLite


@register_architecture("lightmeter")
class DeepStatistics(PatchNetwork):
    """Statistics of a backbone's feature maps at every depth, pooled over a photograph, with linear heads.

    Args:
        spec: The specification of the model.
        view_backbone: EfficientNet-Lite variant for the view; empty to share the backbone of the patches.

    Raises:
        ValueError: The variant does not exist.

    Attributes:
        parts: Numbers of features of early, middle and late stages and of the last layer: of the means over the
            patches, of their deviations, and of the view, in the order of the features.
    """

    def __init__(self, spec: ModelSpec, *, view_backbone: str = "") -> None:
        super().__init__()
        if view_backbone and view_backbone not in VARIANTS:
            raise ValueError(f"unknown view_backbone '{view_backbone}'; available: {', '.join(VARIANTS)}")
        self.backbone = EfficientNetLite(DEFAULT)
        self.view_backbone = EfficientNetLite(view_backbone) if view_backbone else None
        width = 2 * (spec.preprocessing.patches > 0) * statistics_width(self.backbone)
        width += (spec.preprocessing.view_size > 0) * statistics_width(self.view_backbone or self.backbone)
        self.heads = LinearHeads(width, spec.classes)
        patches, view = part_widths(self.backbone), part_widths(self.view_backbone or self.backbone)
        of_patches = {"means": patches, "deviations": patches} if spec.preprocessing.patches else {}
        self.parts = of_patches | ({"view": view} if spec.preprocessing.view_size else {})

    def encode_patches(self, images: Tensor) -> Tensor:
        """Return the statistics of patches."""
        return deep_statistics(self.backbone, images)

    def encode_view(self, images: Tensor) -> Tensor:
        """Return the statistics of views."""
        return deep_statistics(self.view_backbone or self.backbone, images)


def statistics_width(backbone: EfficientNetLite) -> int:
    """Return the number of features per image that `deep_statistics` returns."""
    return 2 * (STEM + sum(backbone.stages.values())) + FEATURES


def part_widths(backbone: EfficientNetLite) -> list[int]:
    """Return the numbers of features of early, middle and late stages, and of the last layer."""
    channels = [STEM, *backbone.stages.values()]
    early, middle, late = (2 * sum(channels[start:end]) for start, end in pairwise((0, 3, 5, len(channels))))
    return [early, middle, late, FEATURES]


def deep_statistics(backbone: EfficientNetLite, images: Tensor) -> Tensor:
    """Return mean and deviation of every channel after each stage, and the last features; shape (N, F)."""
    statistics, maps = _stages(backbone, images, max(backbone.stages) + 1)
    return torch.cat([*statistics, backbone.last(maps).mean((2, 3))], 1)


def early_statistics(backbone: EfficientNetLite, images: Tensor, blocks: int) -> Tensor:
    """Return mean and deviation of every channel after each stage within the first blocks."""
    return torch.cat(_stages(backbone, images, blocks)[0], 1)


def _stages(backbone: EfficientNetLite, images: Tensor, blocks: int) -> tuple[list[Tensor], Tensor]:
    maps = backbone.stem(images)
    statistics = [_channel_statistics(maps)]
    for number, block in enumerate(backbone._blocks[:blocks]):  # noqa: SLF001 - the published name
        maps = block(maps)
        if number in backbone.stages:
            statistics.append(_channel_statistics(maps))
    return statistics, maps


def _channel_statistics(maps: Tensor) -> Tensor:
    return torch.cat([maps.mean((2, 3)), maps.std((2, 3), correction=0)], 1)
