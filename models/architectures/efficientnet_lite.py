"""EfficientNet-Lite: mobile inverted bottlenecks without squeeze-and-excitation, ReLU6 for swish.

M. Tan and Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019
(arXiv:1905.11946), and the "Lite" variants of the TensorFlow TPU models. The names of the parameters are
those under which converted ImageNet weights are published, so that these load as they are.
"""

import math

from torch import Tensor, nn
from torch.nn import functional

FEATURES = 1280
STEM = 32
VARIANTS = {  # how much wider and deeper than the first
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
    """A convolution padded as TensorFlow's SAME: the output is the input over the stride, rounded up."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Convolve a tensor of shape (N, C, H, W)."""
        height, width = (self._missing(input.shape[2 + axis], axis) for axis in (0, 1))
        padding = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(functional.pad(input, padding) if any(padding) else input)

    def _missing(self, size: int, axis: int) -> int:
        stride, kernel = self.stride[axis], self.kernel_size[axis]
        return max(0, (-(-size // stride) - 1) * stride + kernel - size)


class Bottleneck(nn.Module):
    """Expand, convolve each channel for itself, project; with a shortcut where shapes allow."""

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
    """The trunk: pictures in, 1,280 features out.

    Args:
        variant: one of `VARIANTS`. The stem, the last layer and the number of blocks in the first and in the last stage
            are the same in all of them.

    Attributes:
        stages: channels behind each stage, by the number of its last block.
    """

    def __init__(self, variant: str) -> None:
        super().__init__()
        wider, deeper = VARIANTS[variant]
        self._conv_stem = SameConv2d(3, STEM, 3, 2, bias=False)
        self._bn0 = _norm(STEM)
        self.stages: dict[int, int] = {}
        blocks: list[Bottleneck] = []
        channels = STEM
        for stage, (repeats, kernel, first_stride, expansion, out) in enumerate(_STAGES):
            ends = stage in (0, len(_STAGES) - 1)
            for repeat in range(repeats if ends else math.ceil(repeats * deeper)):
                blocks.append(
                    Bottleneck(channels, _eights(out * wider), kernel, 1 if repeat else first_stride, expansion)
                )
                channels = _eights(out * wider)
            self.stages[len(blocks) - 1] = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(channels, FEATURES, 1, bias=False)
        self._bn1 = _norm(FEATURES)

    def stem(self, pictures: Tensor) -> Tensor:
        """Return the first maps, of shape (N, 32, H/2, W/2), for pictures of shape (N, 3, H, W)."""
        return functional.relu6(self._bn0(self._conv_stem(pictures)))

    def last(self, maps: Tensor) -> Tensor:
        """Return what the last layer makes of the blocks' maps, of shape (N, 1280, H/32, W/32)."""
        return functional.relu6(self._bn1(self._conv_head(maps)))

    def maps(self, pictures: Tensor) -> Tensor:
        """Return feature maps of shape (N, 1280, H/32, W/32) for pictures of shape (N, 3, H, W)."""
        x = self.stem(pictures)
        for block in self._blocks:
            x = block(x)
        return self.last(x)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features of shape (N, 1280), averaged over each picture."""
        return self.maps(pictures).mean((2, 3))


def _eights(channels: float) -> int:
    """Return a number of channels as the nearest multiple of eight that is not less than nine tenths of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
