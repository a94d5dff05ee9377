"""EfficientNet-Lite: mobile inverted bottlenecks without squeeze-and-excitation, with ReLU6 instead of swish.

M. Tan and Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019
(arXiv:1905.11946), and the "Lite" variants of the TensorFlow TPU models. The parameters are named as in the published
conversions of the ImageNet weights, so that these load unchanged.
"""

import math

from torch import Tensor, nn
from torch.nn import functional

FEATURES = 1280
STEM = 32
VARIANTS = {  # width and depth multipliers
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite2": (1.1, 1.2),
}
_STAGES = (
    # repeats, kernel, stride of the first, expansion, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: output size = ceil(input size / stride)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Convolve a tensor of shape (N, C, H, W)."""
        height, width = (self._missing(input.shape[2 + axis], axis) for axis in (0, 1))
        padding = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(functional.pad(input, padding) if any(padding) else input)

    def _missing(self, size: int, axis: int) -> int:
        stride, kernel = self.stride[axis], self.kernel_size[axis]
        return max(0, (-(-size // stride) - 1) * stride + kernel - size)


class Bottleneck(nn.Module):
    """Inverted bottleneck: expansion, depthwise convolution, projection, and a shortcut if the shapes agree."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        if expansion > 1:
            self._expand_conv = SameConv2d(channels, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = SameConv2d(wide, out, 1, bias=False)
        self._bn2 = _norm(out)
        self.expands = expansion > 1
        self.shortcut = stride == 1 and channels == out

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H / stride, W / stride)."""
        x: Tensor = inputs
        if self.expands:
            x = functional.relu6(self._bn0(self._expand_conv(x)))
        x = functional.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + inputs if self.shortcut else x


class EfficientNetLite(nn.Module):
    """The backbone: 1,280 features per image.

    Args:
        variant: One of `VARIANTS`. The first and the last stage have the same number of blocks in all of them.

    Attributes:
        stages: Number of channels after each stage, by the index of its last block.
    """

    def __init__(self, variant: str) -> None:
        super().__init__()
        width, depth = VARIANTS[variant]
        self._conv_stem = SameConv2d(3, STEM, 3, 2, bias=False)
        self._bn0 = _norm(STEM)
        self.stages: dict[int, int] = {}
        blocks: list[Bottleneck] = []
        channels = STEM
        for stage, (repeats, kernel, first_stride, expansion, filters) in enumerate(_STAGES):
            fixed = stage in (0, len(_STAGES) - 1)
            out = _round_channels(filters * width)
            for repeat in range(repeats if fixed else math.ceil(repeats * depth)):
                blocks.append(Bottleneck(channels, out, kernel, 1 if repeat else first_stride, expansion))
                channels = out
            self.stages[len(blocks) - 1] = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(channels, FEATURES, 1, bias=False)
        self._bn1 = _norm(FEATURES)

    def stem(self, images: Tensor) -> Tensor:
        """Return feature maps of shape (N, 32, H/2, W/2) for images of shape (N, 3, H, W)."""
        return functional.relu6(self._bn0(self._conv_stem(images)))

    def last(self, maps: Tensor) -> Tensor:
        """Return the output of the last layer for the maps of the blocks, shape (N, 1280, H/32, W/32)."""
        return functional.relu6(self._bn1(self._conv_head(maps)))

    def forward(self, images: Tensor) -> Tensor:
        """Return features of shape (N, 1280), averaged over each image, for images of shape (N, 3, H, W)."""
        maps = self.stem(images)
        for block in self._blocks:
            maps = block(maps)
        return self.last(maps).mean((2, 3))


def _round_channels(channels: float) -> int:
    """Round a number of channels to a multiple of eight, by at most a tenth downwards."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
