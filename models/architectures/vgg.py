"""Networks based on VGG-16.

K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015
(arXiv:1409.1556). The parameters of the backbone are named as in torchvision, so that its published weights load.
"""

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn

from ..runtime.spec import ModelSpec
from . import register_architecture
from .base import Heads, Network, apply_to_patches

_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """The first blocks of VGG-16, each ending in 2 × 2 max pooling.

    Args:
        blocks: Number of blocks, 1 to 5.
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

    def forward(self, images: Tensor) -> Tensor:
        """Return feature maps of shape (N, C, H / 2^blocks, W / 2^blocks)."""
        maps: Tensor = self.features(images)
        return maps


@register_architecture("vgg16-patches")
class PatchVgg(Network):
    """The network of Gupta and Kannan.

    The first three blocks of VGG-16, four convolutions of kernels 1, 2, 3 and 2 with batch normalisation, a dense layer
    for each patch, the mean over the patches, and a linear head for each target.

    Args:
        spec: The specification of the model.
        filters: Number of filters of each of the four convolutions.
        dense: Width of the dense layer.

    Raises:
        ValueError: The patches are too small.
    """

    KERNELS = (1, 2, 3, 2)

    def __init__(self, spec: ModelSpec, *, filters: int = 64, dense: int = 256) -> None:
        super().__init__()
        patch_size = spec.preprocessing.patch_size
        self.backbone = VGG16(3)
        widths = (self.backbone.channels, *(filters for _ in self.KERNELS))
        layers: list[nn.Module] = []
        for (before, after), kernel in zip(pairwise(widths), self.KERNELS, strict=True):
            layers += [nn.Conv2d(before, after, kernel), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers)
        side = patch_size // 8 - sum(kernel - 1 for kernel in self.KERNELS)
        if side < 1:
            raise ValueError(f"patches of {patch_size} pixels are too small for this network; the minimum is 48")
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(filters * side * side, dense))
        self.heads = Heads(dense, spec.classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, shape (N, F)."""
        layers = nn.Sequential(self.backbone, self.convolutions, self.dense)
        return apply_to_patches(layers, inputs["patches"]).mean(1).relu()


@register_architecture("vgg16-view")
class ViewVgg(Network):
    """VGG-16 on the whole view, averaged over the image, a dense layer, and a linear head for each target.

    Args:
        spec: The specification of the model.
        dense: Width of the dense layer.
    """

    def __init__(self, spec: ModelSpec, *, dense: int = 256) -> None:
        super().__init__()
        self.backbone = VGG16(5)
        self.dense = nn.Sequential(nn.Linear(self.backbone.channels, dense), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.heads = Heads(dense, spec.classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, shape (N, F)."""
        features: Tensor = self.dense(self.backbone(inputs["view"]).mean((2, 3)))
        return features
