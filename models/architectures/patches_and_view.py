"""A backbone on each patch and on the whole view of a photograph, with a linear head for each target."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from . import register_architecture
from .backbones import DEFAULT, build_backbone

if TYPE_CHECKING:
    from ..runtime.spec import ModelSpec


class LinearHeads(nn.Module):
    """A linear layer for each target, on standardised features.

    Args:
        features: Number of features.
        classes: Number of classes of each target, by name.
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


def mean_and_std(features: Tensor) -> Tensor:
    """Pool the features of patches over a photograph.

    Args:
        features: Features of K patches, shape (N, K, F).

    Returns:
        Mean and standard deviation over the patches, shape (N, 2F); a single patch has a deviation of zero.
    """
    return torch.cat([features.mean(1), features.std(1, correction=0)], 1)


class PatchesAndView(nn.Module):
    """A backbone on each patch and on the view, pooled over the photograph, with linear heads.

    Args:
        backbone: Maps images of shape (N, 3, H, W) to features of shape (N, F).
        width: Number of features of the backbone.
        classes: Number of classes of each target, by name.
        patches: Whether patches are an input.
        view: Whether the view is an input.
    """

    def __init__(
        self, backbone: nn.Module, width: int, classes: Mapping[str, int], *, patches: bool, view: bool
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = LinearHeads(width * (2 * patches + view), classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, shape (N, F)."""
        parts = []
        if "patches" in inputs:
            patches = inputs["patches"]
            features = self.backbone(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
            parts.append(mean_and_std(features))
        if "view" in inputs:
            parts.append(self.backbone(inputs["view"]))
        return torch.cat(parts, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        logits: dict[str, Tensor] = self.heads(self.features(inputs))
        return logits


@register_architecture("efficientnet-lite0")
def build(spec: "ModelSpec", *, backbone: str = DEFAULT) -> nn.Module:
    """Build the network.

    Args:
        spec: The specification of the model.
        backbone: ``efficientnet-lite0``, ``efficientnet-lite2`` or the name of a timm backbone.
    """
    settings = spec.preprocessing
    network, width = build_backbone(backbone)
    return PatchesAndView(network, width, spec.classes, patches=settings.patches > 0, view=settings.view_size > 0)
