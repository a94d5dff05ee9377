"""A backbone on each patch and on the whole view of a photograph, with a linear head for each target."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from ..runtime.spec import ModelSpec
from . import register_architecture
from .backbones import DEFAULT, build_backbone
from .base import LinearHeads, PatchNetwork


@register_architecture("efficientnet-lite0")
class PatchesAndView(PatchNetwork):
    """A backbone on each patch and on the view, pooled over the photograph, with linear heads.

    Args:
        spec: The specification of the model.
        backbone: ``efficientnet-lite0``, ``efficientnet-lite2`` or the name of a timm backbone.
        normalise: Divide the features of each photograph by their Euclidean length.
    """

    def __init__(self, spec: ModelSpec, *, backbone: str = DEFAULT, normalise: bool = False) -> None:
        super().__init__()
        self.normalise = normalise
        settings = spec.preprocessing
        self.backbone, width = build_backbone(backbone)
        self.heads = LinearHeads(width * (2 * (settings.patches > 0) + (settings.view_size > 0)), spec.classes)

    def encode_patches(self, images: Tensor) -> Tensor:
        """Return the features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    encode_view = encode_patches

    def pool(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """Return the features of the photographs, shape (N, F)."""
        features = super().pool(encoded)
        return functional.normalize(features) if self.normalise else features
