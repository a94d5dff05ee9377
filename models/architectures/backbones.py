"""Image backbones by name: EfficientNet-Lite, or any backbone of timm.

timm (R. Wightman, "PyTorch image models") is an optional dependency; a model that uses one of its backbones needs timm
wherever it runs.
"""

from difflib import get_close_matches
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .efficientnet_lite import FEATURES, VARIANTS, EfficientNetLite

DEFAULT = "efficientnet-lite0"

_TRIAL_SIZE = 96
_ANY_SIZE = ({"dynamic_img_size": True}, {"strict_img_size": False})  # options of vision transformers


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
    model, _, tag = name.partition(".")
    weights = timm.list_models(f"{model}.*", pretrained=True)
    if not timm.is_model(model) or (tag and name not in weights):
        similar = get_close_matches(name, weights if timm.is_model(model) else timm.list_models(), cutoff=0.0)
        hint = f"; use one of these with --set backbone=NAME: {', '.join(similar)}" if similar else ""
        raise LookupError(f"timm has no backbone '{name}'{hint}")
    backbone = _timm_backbone(timm, name)
    training = backbone.training
    width = _width(backbone.eval(), name)
    return backbone.train(training), width


def _timm_backbone(timm: Any, name: str) -> Any:
    """Return a backbone that takes images of several sizes, if its family can."""
    for options in _ANY_SIZE:
        try:
            return timm.create_model(name, pretrained=False, num_classes=0, **options)
        except TypeError:  # this family has no such option
            continue
    return timm.create_model(name, pretrained=False, num_classes=0)


def _width(backbone: Any, name: str) -> int:
    """Return the number of features per image, which ``num_features`` is not in some families, by a forward pass.

    A backbone that takes images of its own size alone then resizes all images to it.
    """
    with torch.inference_mode():
        try:
            features = backbone(torch.zeros(1, 3, _TRIAL_SIZE, _TRIAL_SIZE))
        except Exception:  # noqa: BLE001 - each family has its own
            size = backbone.pretrained_cfg["input_size"][-2:]
            backbone.register_forward_pre_hook(_Resize(size))
            features = backbone(torch.zeros(1, 3, *size))
    if not isinstance(features, torch.Tensor) or features.dim() != 2:
        raise LookupError(f"the backbone '{name}' returns no vector of features for an image")
    return int(features.shape[1])


class _Resize:
    """A hook that resizes the images before a backbone sees them.

    Args:
        size: Height and width.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = tuple(size)

    def __call__(self, _module: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (images,) = inputs
        if tuple(images.shape[-2:]) == self.size:
            return inputs
        return (functional.interpolate(images, self.size, mode="bilinear", antialias=True),)
