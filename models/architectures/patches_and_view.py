"""A trunk on each patch of a photograph, and on the whole view; a linear layer a target on what it saw."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .backbones import build_backbone
from .heads import Heads, mean_and_deviation

if TYPE_CHECKING:
    from lightmeter.models.runtime.spec import ModelSpec


class PhotographNet(nn.Module):
    """A trunk on each patch, and on the view where there is one; pooled over the photograph; linear heads.

    Args:
        trunk: that sees pictures.
        width: number of features that it gives.
        classes: number of classes of each target, by name.
        patches: whether there are patches.
        view: whether there is a view.
    """

    def __init__(self, trunk: nn.Module, width: int, classes: Mapping[str, int], *, patches: bool, view: bool) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = Heads(width * (2 * patches + view), classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what the heads see, of shape (N, F)."""
        parts = []
        if "patches" in inputs:
            patches = inputs["patches"]
            each = self.trunk(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
            parts.append(mean_and_deviation(each))
        if "view" in inputs:
            parts.append(self.trunk(inputs["view"]))
        return torch.cat(parts, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        logits: dict[str, Tensor] = self.heads(self.features(inputs))
        return logits


def build(spec: "ModelSpec") -> nn.Module:
    """Return the network of a spec."""
    cut = spec.preprocessing
    trunk, width = build_backbone(spec)
    return PhotographNet(trunk, width, spec.classes, patches=cut.patches > 0, view=cut.view > 0)
