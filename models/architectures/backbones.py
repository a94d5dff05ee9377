"""What sees a picture, by name: an EfficientNet-Lite, or any backbone of timm's.

timm (R. Wightman, "PyTorch image models") is not installed along; a model built on it needs it wherever it runs.
"""

from typing import TYPE_CHECKING, Any

from torch import nn

from .efficientnet_lite import FEATURES, VARIANTS, EfficientNetLite

if TYPE_CHECKING:
    from lightmeter.models.runtime.spec import ModelSpec

FIRST = "efficientnet-lite0"


def build_backbone(spec: "ModelSpec") -> tuple[nn.Module, int]:
    """Return the network that the option ``backbone`` names, and how many features it gives a picture.

    Raises:
        LookupError: if timm is needed and not installed, or has no such backbone.
    """
    name = str(spec.architecture_options.get("backbone", FIRST))
    if name in VARIANTS:
        return EfficientNetLite(name), FEATURES
    try:
        import timm
    except ImportError as error:
        raise LookupError(f"the backbone '{name}' needs timm: pip install 'lightmeter[timm]'") from error
    except RuntimeError as error:  # torchvision, which timm imports, has operators compiled for another torch
        raise LookupError(f"the backbone '{name}' needs timm, which cannot be imported here ({error})") from error
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_', maxsplit=1)[0]}*")[:3]
        hint = f"; there are {', '.join(near)} and others" if near else ""
        raise LookupError(f"timm has no backbone '{name}'{hint}")
    trunk: Any = timm.create_model(name, pretrained=False, num_classes=0)
    return trunk, int(trunk.num_features)
