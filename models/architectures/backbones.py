"""Image backbones by name: EfficientNet-Lite, or any backbone of timm.

timm (R. Wightman, "PyTorch image models") is an optional dependency; a model that uses one of its backbones needs timm
wherever it runs.
"""

from typing import Any

from torch import nn

from .efficientnet_lite import FEATURES, VARIANTS, EfficientNetLite

DEFAULT = "efficientnet-lite0"


def build_backbone(name: str) -> tuple[nn.Module, int]:
    """Return a backbone and its number of features per image.

    Raises:
        LookupError: timm is needed and not installed, or has no such backbone.
    """
    if name in VARIANTS:
        return EfficientNetLite(name), FEATURES
    try:
        import timm
    except ImportError as error:
        raise LookupError(f"the backbone '{name}' needs timm: pip install 'lightmeter[timm]'") from error
    except RuntimeError as error:  # torchvision, which timm imports, has operators compiled for another torch
        raise LookupError(f"the backbone '{name}' needs timm, which cannot be imported ({error})") from error
    if not timm.is_model(name):
        similar = timm.list_models(f"*{name.split('_', maxsplit=1)[0]}*")[:3]
        hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
        raise LookupError(f"timm has no backbone '{name}'{hint}")
    backbone: Any = timm.create_model(name, pretrained=False, num_classes=0)
    return backbone, int(backbone.num_features)
