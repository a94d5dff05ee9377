"""MobileNetV2 on the whole view.

M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018 (arXiv:1801.04381). The
parameters of the backbone are named as in torchvision, so that its published weights load.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from ..runtime.spec import ModelSpec
from . import register_architecture
from .base import Heads, Network

FEATURES = 1280
_STAGES = (
    # expansion, channels out, repeats, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _unit(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Inverted bottleneck: expansion, depthwise convolution, projection, and a shortcut where the shapes agree."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        layers: list[nn.Module] = [_unit(channels, wide)] if expansion > 1 else []
        layers += [_unit(wide, wide, 3, stride, wide), nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and channels == out

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H / stride, W / stride)."""
        x: Tensor = self.conv(inputs)
        return inputs + x if self.shortcut else x


class MobileNetV2(nn.Module):
    """The backbone: 1,280 features per image."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_unit(3, 32, 3, 2)]
        channels = 32
        for expansion, out, repeats, first_stride in _STAGES:
            for repeat in range(repeats):
                layers.append(InvertedResidual(channels, out, 1 if repeat else first_stride, expansion))
                channels = out
        layers.append(_unit(channels, FEATURES))
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return features of shape (N, 1280), averaged over each image."""
        maps: Tensor = self.features(images)
        return maps.mean((2, 3))


@register_architecture("mobilenet-v2")
class ViewMobileNet(Network):
    """MobileNetV2 on the whole view, a dense layer, and a linear head for each target.

    Args:
        spec: The specification of the model.
        dense: Width of the dense layer.
    """

    def __init__(self, spec: ModelSpec, *, dense: int = 128) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
        self.dense = nn.Sequential(nn.Linear(FEATURES, dense), nn.ReLU(inplace=True), nn.Dropout(0.2))
        self.heads = Heads(dense, spec.classes)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, shape (N, F)."""
        features: Tensor = self.dense(self.backbone(inputs["view"]))
        return features
