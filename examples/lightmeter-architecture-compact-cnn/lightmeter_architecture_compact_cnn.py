"""A small convolutional network on patches at native resolution, for data sets of a few thousand photographs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from lightmeter.models import ModelSpec


class CompactCnn(nn.Module):
    """Blocks of strided convolutions; features are averaged over positions and patches.

    Args:
        classes: Number of classes of each target, by name.
        width: Channels of the first block; every block doubles them.
        blocks: Number of blocks; every block halves height and width.
    """

    def __init__(self, classes: Mapping[str, int], width: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for block in range(blocks):
            out = width << block
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        self.backbone = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(channels, count) for name, count in classes.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        patches = inputs["patches"]  # (photographs, patches, 3, height, width)
        features = self.backbone(patches.flatten(0, 1)).mean(dim=(2, 3))
        features = features.unflatten(0, patches.shape[:2]).mean(dim=1)
        return {name: head(features) for name, head in self.heads.items()}


def compact_cnn(spec: "ModelSpec", *, width: int = 16, blocks: int = 4) -> nn.Module:
    """Build the network of a specification."""
    if not spec.preprocessing.patches:
        raise ValueError("compact-cnn needs patches: set preprocessing.patches")
    return CompactCnn(spec.classes, width, blocks)
