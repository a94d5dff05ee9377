"""Attention over the patches of a photograph, and its view, trained end to end.

A shared backbone sees each patch and its high-frequency residual (the patch minus a small blur); its early stages,
which still contain noise and sharpening, are used as well as the last. The weights of the patches are learned (gated
attention: M. Ilse, J. M. Tomczak and M. Welling, ICML 2018); the view adds the context. All targets share these
features, and each has a linear head.

The backbone (`encode`) and the rest are separate, so that the activations of a frozen backbone can be
cached.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..runtime.spec import ModelSpec
from . import register_architecture
from .backbones import DEFAULT
from .base import Heads, PatchNetwork, apply_to_patches
from .efficientnet_lite import EfficientNetLite
from .lightmeter import deep_statistics, early_statistics, statistics_width

_RESIDUAL_BLOCKS = 5  # of the backbone, applied to the residual
_RESIDUAL_GAIN = 8.0  # noise of one level of 255 becomes as strong as the backbone expects
_RESIDUAL_FEATURES = 2 * (32 + 16 + 24 + 40)


class AttentionPooling(nn.Module):
    """Gated attention over the patches of a photograph.

    Args:
        width: Number of features of a patch.
        hidden: Width of the attention layers.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.tanh, self.gate, self.score = nn.Linear(width, hidden), nn.Linear(width, hidden), nn.Linear(hidden, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches of shape (N, K, F) to their weighted mean and standard deviation, shape (N, 2F)."""
        scores = self.score(torch.tanh(self.tanh(patches)) * torch.sigmoid(self.gate(patches)))
        weights = torch.softmax(scores, 1)
        mean = (weights * patches).sum(1)
        variance = (weights * (patches - mean[:, None]).square()).sum(1)
        return torch.cat([mean, (variance + 1e-6).sqrt()], 1)


@register_architecture("lightmeter-attention")
class AttentionNet(PatchNetwork):
    """Patches pooled by attention, the view, and a linear head for each target.

    Args:
        spec: The specification of the model.
        width: Number of features of a patch and of the view.
        dropout: Dropout probability.

    Raises:
        ValueError: The preprocessing has no patches or no view.
    """

    def __init__(self, spec: ModelSpec, *, width: int = 192, dropout: float = 0.5) -> None:
        super().__init__()
        if not (spec.preprocessing.patches and spec.preprocessing.view_size):
            raise ValueError("this network needs patches and a view")
        self.backbone = EfficientNetLite(DEFAULT)
        view_features = statistics_width(self.backbone)
        self.patch = _projection(view_features + _RESIDUAL_FEATURES, width, dropout)
        self.pooled = AttentionPooling(width, width // 2)
        self.view = _projection(view_features, width, dropout)
        self.heads = Heads(3 * width, spec.classes)

    def encode_patches(self, images: Tensor) -> Tensor:
        """Return the statistics of patches and of their residuals."""
        residual = early_statistics(self.backbone, _residual(images), _RESIDUAL_BLOCKS)
        return torch.cat([deep_statistics(self.backbone, images), residual], 1)

    def encode_view(self, images: Tensor) -> Tensor:
        """Return the statistics of views."""
        return deep_statistics(self.backbone, images)

    def pool(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads: the patches pooled by attention, then the view; shape (N, F)."""
        patches = apply_to_patches(self.patch, encoded["patches"])
        return torch.cat([self.pooled(patches), self.view(encoded["view"])], 1)


def _residual(images: Tensor) -> Tensor:
    """Return images minus their mean over 3 × 3 pixels, amplified; shape (N, 3, H, W)."""
    padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")
    return (images - functional.avg_pool2d(padded, 3, 1)) * _RESIDUAL_GAIN


def _projection(features: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(features, affine=False), nn.Dropout(dropout), nn.Linear(features, width), nn.GELU()
    )
