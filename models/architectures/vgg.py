"""VGG-16 and what was built on it.

K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015
(arXiv:1409.1556). The names of the trunk's parameters are torchvision's, so that its published weights load.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from lightmeter.models.runtime.spec import ModelSpec

_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """The first blocks of VGG-16, each ending in a maximum over two by two.

    Args:
        blocks: how many of the five.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for widths in _BLOCKS[:blocks]:
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, pictures: Tensor) -> Tensor:
        """Return maps of shape (N, C, H / 2^blocks, W / 2^blocks)."""
        maps: Tensor = self.features(pictures)
        return maps


class PatchVgg(nn.Module):
    """The network of Gupta and Kannan: what is seen in each patch, averaged over the patches, then classified.

    The first three blocks of VGG-16, four convolutions of kernels 1, 2, 3 and 2 with batch normalisation, a dense layer
    for each patch, the mean over the patches, and a dense layer a target.

    Args:
        classes: number of classes of each target, by name.
        patch_size: side of a patch in pixels.
        filters: of each of the four convolutions.
        dense: width of the dense layer.
    """

    KERNELS = (1, 2, 3, 2)

    def __init__(self, classes: Mapping[str, int], patch_size: int, filters: int, dense: int) -> None:
        super().__init__()
        self.trunk = VGG16(3)
        widths = (self.trunk.channels, *(filters for _ in self.KERNELS))
        layers: list[nn.Module] = []
        for (before, after), kernel in zip(pairwise(widths), self.KERNELS, strict=True):
            layers += [nn.Conv2d(before, after, kernel), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers)
        side = patch_size // 8 - sum(kernel - 1 for kernel in self.KERNELS)
        if side < 1:
            raise ValueError(f"patches of {patch_size} pixels are too small for this network; the least is 48")
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(filters * side * side, dense))
        self.heads = nn.ModuleDict({name: nn.Linear(dense, count) for name, count in classes.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        patches = inputs["patches"]
        each = self.dense(self.convolutions(self.trunk(patches.flatten(0, 1))))
        pooled = each.unflatten(0, patches.shape[:2]).mean(1).relu()
        return {name: head(pooled) for name, head in self.heads.items()}


class ViewVgg(nn.Module):
    """VGG-16's convolutions on the whole view, averaged over the picture, and two dense layers.

    Args:
        classes: number of classes of each target, by name.
        dense: width of the dense layer.
    """

    def __init__(self, classes: Mapping[str, int], dense: int) -> None:
        super().__init__()
        self.trunk = VGG16(5)
        self.dense = nn.Sequential(nn.Linear(self.trunk.channels, dense), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.heads = nn.ModuleDict({name: nn.Linear(dense, count) for name, count in classes.items()})

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        seen = self.dense(self.trunk(inputs["view"]).mean((2, 3)))
        return {name: head(seen) for name, head in self.heads.items()}


def build(spec: "ModelSpec") -> nn.Module:
    """Return the network of a spec: on patches (Gupta and Kannan) or on the view."""
    options = {"filters": 64, "dense": 256, **spec.architecture_options}
    if spec.architecture == "vgg16-view":
        return ViewVgg(spec.classes, int(options["dense"]))
    return PatchVgg(spec.classes, spec.preprocessing.patch_size, int(options["filters"]), int(options["dense"]))
