"""Networks by name: the built-in ones here, others from packages that offer ``lightmeter.architectures``.

An architecture is a function that takes a `ModelSpec` and returns a module. The module's ``forward`` takes
the inputs of `Photograph` by name, as float tensors with a leading axis of photographs, and returns logits
of shape (N, C) by target.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import nn

    from lightmeter.models.runtime.spec import ModelSpec

Builder = Callable[["ModelSpec"], "nn.Module"]

BUILT_IN = {
    "efficientnet-lite0": "patches_and_view",
    "fusion": "fusion",
    "grid-vote": "small_cnn",
    "lightmeter": "lightmeter",
    "lightmeter-attention": "attention",
    "mobilenet-v2": "mobilenet",
    "small-cnn": "small_cnn",
    "trees": "trees",
    "vgg16-patches": "vgg",
    "vgg16-view": "vgg",
}
"""Module of each built-in architecture, with a function ``build``; it stands here as an archive has no entry points."""


def build(spec: "ModelSpec") -> "nn.Module":
    """Return a network as its spec describes it, with weights yet to be loaded.

    Raises:
        LookupError: if no such architecture is installed.
    """
    return _builder(spec.architecture)(spec)


def _builder(name: str) -> Builder:
    if name in BUILT_IN:
        return cast("Builder", import_module(f".{BUILT_IN[name]}", __name__).build)
    for plugin in entry_points(group="lightmeter.architectures", name=name):
        return cast("Builder", plugin.load())
    raise LookupError(f"there is no architecture '{name}' here")
