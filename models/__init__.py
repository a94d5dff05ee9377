"""Train, evaluate and analyse models that estimate how a photograph was made.

Heavy libraries are imported on first use, so that importing this package is fast.

Example:
    >>> from lightmeter.models import load_predictor
    >>> predictor = load_predictor("patches-shutter-v1-1")  # doctest: +SKIP
    >>> predictor.predict("photograph.jpg").predictions["shutter"].label  # doctest: +SKIP
    '1/250'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightmeter.models.api import evaluate, load_predictor, train
    from lightmeter.models.architectures import register_architecture
    from lightmeter.models.training.recipe import Recipe

__all__ = ["Recipe", "evaluate", "load_predictor", "register_architecture", "train"]

_MODULES = {
    "Recipe": "training.recipe",
    "evaluate": "api",
    "load_predictor": "api",
    "register_architecture": "architectures",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
