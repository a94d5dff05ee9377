"""EfficientNet-Lite0: mobile inverted bottlenecks without squeeze-and-excitation, ReLU6 for swish.

M. Tan and Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019
(arXiv:1905.11946), and the "Lite" variants of the TensorFlow TPU models. The names of the parameters are
those under which converted ImageNet weights are published, so that these load as they are.
"""

from torch import Tensor, nn
from torch.nn import functional

FEATURES = 1280
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


class EfficientNetLite0(nn.Module):
    """The trunk: pictures in, 1,280 features out."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks = []
        channels = 32
        for repeats, kernel, first_stride, expansion, out in _STAGES:
            for repeat in range(repeats):
                blocks.append(Bottleneck(channels, out, kernel, 1 if repeat else first_stride, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(channels, FEATURES, 1, bias=False)
        self._bn1 = _norm(FEATURES)

    def maps(self, pictures: Tensor) -> Tensor:
        """Return feature maps of shape (N, 1280, H/32, W/32) for pictures of shape (N, 3, H, W)."""
        x = functional.relu6(self._bn0(self._conv_stem(pictures)))
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features of shape (N, 1280), averaged over each picture."""
        return self.maps(pictures).mean((2, 3))
