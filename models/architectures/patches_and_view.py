"""A backbone on each patch and on the whole view of a photograph, with a linear head for each target."""

from torch import Tensor

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
    """

    def __init__(self, spec: ModelSpec, *, backbone: str = DEFAULT) -> None:
        super().__init__()
        settings = spec.preprocessing
        self.backbone, width = build_backbone(backbone)
        self.heads = LinearHeads(width * (2 * (settings.patches > 0) + (settings.view_size > 0)), spec.classes)

    def encode_patches(self, images: Tensor) -> Tensor:
        """Return the features of the backbone."""
        features: Tensor = self.backbone(images)
        return features

    encode_view = encode_patches
