"""The house network: what a frozen trunk sees at every depth, in native patches and in the whole view.

Noise, sharpening and grain are gone in the trunk's last features, which were trained to ignore them, but not in its
early ones. So the mean and the deviation of every channel are taken behind each stage (texture statistics, as in
L. A. Gatys et al., "Texture synthesis using convolutional neural networks", NeurIPS 2015), and a penalised linear head
a target reads them all. The patches show noise and blur; the view shows the light, the scene and the depth of field,
and may have a trunk of its own, made for larger pictures.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .backbones import FIRST
from .efficientnet_lite import FEATURES, STEM, VARIANTS, EfficientNetLite
from .heads import Heads, mean_and_deviation

if TYPE_CHECKING:
    from lightmeter.models.runtime.spec import ModelSpec


class DeepStatistics(nn.Module):
    """Statistics of the trunk's maps at every depth, pooled over a photograph, and linear heads.

    Args:
        classes: number of classes of each target, by name.
        patches: whether there are patches.
        view: whether there is a view.
        view_backbone: one of `VARIANTS` that sees the view; empty to have it seen as the patches are.
    """

    def __init__(self, classes: Mapping[str, int], *, patches: bool, view: bool, view_backbone: str = "") -> None:
        super().__init__()
        self.trunk = EfficientNetLite(FIRST)
        self.view_trunk = EfficientNetLite(view_backbone) if view_backbone else None
        self.heads = Heads(2 * patches * depths(self.trunk) + view * depths(self.view_trunk or self.trunk), classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what the heads see, of shape (N, F)."""
        parts = []
        if "patches" in inputs:
            patches = inputs["patches"]
            each = every_depth(self.trunk, patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
            parts.append(mean_and_deviation(each))
        if "view" in inputs:
            parts.append(every_depth(self.view_trunk or self.trunk, inputs["view"]))
        return torch.cat(parts, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        logits: dict[str, Tensor] = self.heads(self.features(inputs))
        return logits


def depths(trunk: EfficientNetLite) -> int:
    """Return how many numbers `every_depth` gives a picture."""
    return 2 * (STEM + sum(trunk.stages.values())) + FEATURES


def every_depth(trunk: EfficientNetLite, pictures: Tensor) -> Tensor:
    """Return mean and deviation of every channel behind each stage of a trunk, shape (N, `depths`)."""
    found, x = _stages(trunk, pictures, max(trunk.stages) + 1)
    return torch.cat([*found, trunk.last(x).mean((2, 3))], 1)


def early_statistics(trunk: EfficientNetLite, pictures: Tensor, blocks: int) -> Tensor:
    """Return the same of the stages that end in the first blocks of a trunk."""
    return torch.cat(_stages(trunk, pictures, blocks)[0], 1)


def _stages(trunk: EfficientNetLite, pictures: Tensor, blocks: int) -> tuple[list[Tensor], Tensor]:
    x = trunk.stem(pictures)
    found = [_mean_and_spread(x)]
    for number, block in enumerate(trunk._blocks[:blocks]):  # noqa: SLF001 - the published name
        x = block(x)
        if number in trunk.stages:
            found.append(_mean_and_spread(x))
    return found, x


def _mean_and_spread(maps: Tensor) -> Tensor:
    return torch.cat([maps.mean((2, 3)), maps.std((2, 3), correction=0)], 1)


def build(spec: "ModelSpec") -> nn.Module:
    """Return the network of a spec.

    Raises:
        ValueError: if the backbone of its view is none of the EfficientNet-Lites.
    """
    cut, backbone = spec.preprocessing, str(spec.architecture_options.get("view_backbone", ""))
    if backbone and backbone not in VARIANTS:
        raise ValueError(f"this network has no backbone '{backbone}' for views; there are {', '.join(VARIANTS)}")
    return DeepStatistics(spec.classes, patches=cut.patches > 0, view=cut.view > 0, view_backbone=backbone)
