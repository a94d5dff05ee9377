"""The house network that is trained: a photograph's patches weighed by attention, beside its view.

Each patch is seen as it is and as its high-frequency residual (what is left when a small blur is taken away), by one
trunk; the early stages, which still tell noise and sharpening, are read as well as the last. What patches count is
learned (gated attention: M. Ilse, J. M. Tomczak and M. Welling, ICML 2018); the whole view gives the context. All
targets share this, and each has a linear head.

The trunk's part (`encode`) and the rest are apart, so that what a frozen trunk sees can be computed once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from .backbones import FIRST
from .efficientnet_lite import EfficientNetLite
from .lightmeter import depths, early_statistics, every_depth

if TYPE_CHECKING:
    from lightmeter.models.runtime.spec import ModelSpec

_BLOCKS = 5  # of the trunk, that see the residual
_RESIDUAL_GAIN = 8.0  # noise of one level of 255 becomes as strong as the trunk expects
EARLY = 2 * (32 + 16 + 24 + 40)
_PATCH_AXES, _VIEW_AXES = 5, 4


class Pooled(nn.Module):
    """Attention over the patches of a photograph.

    Args:
        width: of what is known of a patch.
        hidden: width of the attention.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.tanh, self.gate, self.score = nn.Linear(width, hidden), nn.Linear(width, hidden), nn.Linear(hidden, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches of shape (N, K, F) to the mean that attention weighs, and the deviation; shape (N, 2F)."""
        scores = self.score(torch.tanh(self.tanh(patches)) * torch.sigmoid(self.gate(patches)))
        shares = torch.softmax(scores, 1)
        mean = (shares * patches).sum(1)
        variance = (shares * (patches - mean[:, None]).square()).sum(1)
        return torch.cat([mean, (variance + 1e-6).sqrt()], 1)


class AttentionNet(nn.Module):
    """Patches by attention, the view, one linear head a target.

    Args:
        classes: number of classes of each target, by name.
        width: of what is kept of a patch and of the view.
        dropout: share of it that is left out in training.
    """

    def __init__(self, classes: Mapping[str, int], width: int, dropout: float) -> None:
        super().__init__()
        self.trunk = EfficientNetLite(FIRST)
        self.patch = _narrow(depths(self.trunk) + EARLY, width, dropout)
        self.pooled = Pooled(width, width // 2)
        self.view = _narrow(depths(self.trunk), width, dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(3 * width, count) for name, count in classes.items()})

    def encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the trunk sees: of patches shape (N, K, F), of the view shape (N, F)."""
        patches, view = inputs["patches"], inputs["view"]
        each = patches.flatten(0, 1)
        plain, residual = every_depth(self.trunk, each), early_statistics(self.trunk, _residual(each), _BLOCKS)
        seen = torch.cat([plain, residual], 1)
        return {"patches": seen.unflatten(0, patches.shape[:2]), "view": every_depth(self.trunk, view)}

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target, for pictures or for what the trunk saw of them."""
        seen = self.encode(inputs) if inputs["patches"].dim() == _PATCH_AXES else inputs
        patches = self.patch(seen["patches"].flatten(0, 1)).unflatten(0, seen["patches"].shape[:2])
        known = torch.cat([self.pooled(patches), self.view(seen["view"])], 1)
        return {name: head(known) for name, head in self.heads.items()}


def _residual(pictures: Tensor) -> Tensor:
    """Return what a mean over 3 × 3 pixels takes away, strengthened; shape (N, 3, H, W)."""
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="reflect")
    return (pictures - functional.avg_pool2d(padded, 3, 1)) * _RESIDUAL_GAIN


def _narrow(features: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(features, affine=False), nn.Dropout(dropout), nn.Linear(features, width), nn.GELU()
    )


def build(spec: "ModelSpec") -> nn.Module:
    """Return the network of a spec.

    Raises:
        ValueError: if it is not given patches and a view.
    """
    cut = spec.preprocessing
    if not (cut.patches and cut.view):
        raise ValueError("this network needs patches and a view")
    options = {"width": 192, "dropout": 0.5, **spec.architecture_options}
    return AttentionNet(spec.classes, int(options["width"]), float(options["dropout"]))
