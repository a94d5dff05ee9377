"""Statistics of a frozen backbone at every depth, in native patches and in the whole view.

Noise, sharpening and grain are gone from the last features of a backbone, which is trained to ignore them, but not from
its early ones. So the mean and the standard deviation of every channel are taken after each stage (texture statistics,
as in L. A. Gatys et al., "Texture synthesis using convolutional neural networks", NeurIPS 2015), and a penalised linear
head for each target uses them all. The patches show noise and blur; the view shows the light, the scene and the depth
of field, and may have a backbone of its own, made for larger images.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from . import register_architecture
from .backbones import DEFAULT
from .efficientnet_lite import FEATURES, STEM, VARIANTS, EfficientNetLite
from .patches_and_view import LinearHeads, mean_and_std

if TYPE_CHECKING:
    from ..runtime.spec import ModelSpec


class DeepStatistics(nn.Module):
    """Statistics of a backbone's feature maps at every depth, pooled over a photograph, with linear heads.

    Args:
        classes: Number of classes of each target, by name.
        patches: Whether patches are an input.
        view: Whether the view is an input.
        view_backbone: One of `VARIANTS` for the view; empty to share the backbone of the patches.
    """

    def __init__(self, classes: Mapping[str, int], *, patches: bool, view: bool, view_backbone: str = "") -> None:
        super().__init__()
        self.backbone = EfficientNetLite(DEFAULT)
        self.view_backbone = EfficientNetLite(view_backbone) if view_backbone else None
        width = 2 * patches * statistics_width(self.backbone)
        width += view * statistics_width(self.view_backbone or self.backbone)
        self.heads = LinearHeads(width, classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, shape (N, F)."""
        parts = []
        if "patches" in inputs:
            patches = inputs["patches"]
            features = deep_statistics(self.backbone, patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
            parts.append(mean_and_std(features))
        if "view" in inputs:
            parts.append(deep_statistics(self.view_backbone or self.backbone, inputs["view"]))
        return torch.cat(parts, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        logits: dict[str, Tensor] = self.heads(self.features(inputs))
        return logits


def statistics_width(backbone: EfficientNetLite) -> int:
    """Return the number of features per image that `deep_statistics` returns."""
    return 2 * (STEM + sum(backbone.stages.values())) + FEATURES


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


@register_architecture("lightmeter")
def build(spec: "ModelSpec", *, view_backbone: str = "") -> nn.Module:
    """Build the network.

    Args:
        spec: The specification of the model.
        view_backbone: EfficientNet-Lite variant for the view; empty to share the backbone of the patches.

    Raises:
        ValueError: The variant does not exist.
    """
    if view_backbone and view_backbone not in VARIANTS:
        raise ValueError(f"unknown view_backbone '{view_backbone}'; available: {', '.join(VARIANTS)}")
    settings = spec.preprocessing
    return DeepStatistics(
        spec.classes, patches=settings.patches > 0, view=settings.view_size > 0, view_backbone=view_backbone
    )
