"""The house network: what a frozen trunk sees at every depth, in native patches and in the whole view.

Noise, sharpening and grain are gone in the trunk's last features, which were trained to ignore them, but not in its
early ones. So the mean and the deviation of every channel are taken behind each stage (texture statistics, as in
L. A. Gatys et al., "Texture synthesis using convolutional neural networks", NeurIPS 2015), and a penalised linear head
a target reads them all. The patches show noise and blur; the view shows the light, the scene and the depth of field.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from .efficientnet_lite import FEATURES, EfficientNetLite0
from .heads import Heads, mean_and_deviation

if TYPE_CHECKING:
    from models.spec import ModelSpec

_STAGE_ENDS = {0: 16, 2: 24, 4: 40, 7: 80, 10: 112, 14: 192, 15: 320}
_STEM = 32
DEPTHS = 2 * (_STEM + sum(_STAGE_ENDS.values())) + FEATURES


class DeepStatistics(nn.Module):
    """Statistics of the trunk's maps at every depth, pooled over a photograph, and linear heads.

    Args:
        classes: number of classes of each target, by name.
        patches: whether there are patches.
        view: whether there is a view.
    """

    def __init__(self, classes: Mapping[str, int], *, patches: bool, view: bool) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.heads = Heads(DEPTHS * (2 * patches + view), classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what the heads see, of shape (N, F)."""
        parts = []
        if "patches" in inputs:
            patches = inputs["patches"]
            each = every_depth(self.trunk, patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
            parts.append(mean_and_deviation(each))
        if "view" in inputs:
            parts.append(every_depth(self.trunk, inputs["view"]))
        return torch.cat(parts, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        logits: dict[str, Tensor] = self.heads(self.features(inputs))
        return logits


def every_depth(trunk: EfficientNetLite0, pictures: Tensor) -> Tensor:
    """Return mean and deviation of every channel behind each stage of a trunk, shape (N, DEPTHS)."""
    found, x = _stages(trunk, pictures, len(trunk._blocks))  # noqa: SLF001 - the published names
    last = functional.relu6(trunk._bn1(trunk._conv_head(x)))  # noqa: SLF001
    return torch.cat([*found, last.mean((2, 3))], 1)


def early_statistics(trunk: EfficientNetLite0, pictures: Tensor, blocks: int) -> Tensor:
    """Return the same of the stages that end in the first blocks of a trunk."""
    return torch.cat(_stages(trunk, pictures, blocks)[0], 1)


def _stages(trunk: EfficientNetLite0, pictures: Tensor, blocks: int) -> tuple[list[Tensor], Tensor]:
    x = functional.relu6(trunk._bn0(trunk._conv_stem(pictures)))  # noqa: SLF001
    found = [_mean_and_spread(x)]
    for number, block in enumerate(trunk._blocks[:blocks]):  # noqa: SLF001
        x = block(x)
        if number in _STAGE_ENDS:
            found.append(_mean_and_spread(x))
    return found, x


def _mean_and_spread(maps: Tensor) -> Tensor:
    return torch.cat([maps.mean((2, 3)), maps.std((2, 3), correction=0)], 1)


def build(spec: "ModelSpec") -> nn.Module:
    """Return the network of a spec."""
    cut = spec.preprocessing
    return DeepStatistics(spec.classes, patches=cut.patches > 0, view=cut.view > 0)
