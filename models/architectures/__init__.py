"""Registry of network architectures.

An architecture is a class or function that takes a `ModelSpec`, and the recipe's ``architecture_options`` as keyword
arguments, and returns a ``torch.nn.Module``. The module's ``forward`` takes the arrays of `ModelInput.inputs` by name,
as float tensors with a leading axis of photographs, and returns logits of shape (N, C) for each target by name. A
submodule called ``backbone`` can start from pretrained weights (recipe key ``weights``) and be frozen. Two methods are
optional:

- ``features(inputs)`` returns features of shape (N, F); with a `LinearHeads` module called ``heads`` the network can be
  trained by ``method = "probe"``.
- ``encode(inputs)`` returns the outputs of the frozen backbone by name, which ``forward`` accepts in place of its
  inputs; needed for ``cache_activations``.

Add an architecture with the decorator, or from a package through the entry-point group ``lightmeter.architectures``,
where the name of the entry point is the name of the architecture::

    @register_architecture("tiny")
    class TinyNet(nn.Module):
        def __init__(self, spec, *, width=16): ...

    # pyproject.toml
    [project.entry-points."lightmeter.architectures"]
    tiny = "my_package:TinyNet"

    # recipe.toml
    architecture = "tiny"
    architecture_options = { width = 32 }     # or --set width=32
"""

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from torch import nn

    from ..runtime.spec import ModelSpec

Builder = Callable[..., "nn.Module"]
AnyBuilder = TypeVar("AnyBuilder", bound=Builder)

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
"""Module of each built-in architecture. A table, because an archive has no entry points."""

_REGISTRY: dict[str, Builder] = {}


def register_architecture(name: str) -> Callable[[AnyBuilder], AnyBuilder]:
    """Return a decorator that registers the builder of an architecture.

    Args:
        name: Name of the architecture in recipes.

    Raises:
        ValueError: The name is that of a built-in architecture.

    Example:
        >>> from torch import nn
        >>> @register_architecture("tiny-example")
        ... def tiny(spec, *, width=16):
        ...     return nn.Linear(width, 2)
        >>> get_builder("tiny-example") is tiny
        True
    """

    def register(builder: AnyBuilder) -> AnyBuilder:
        if name in BUILT_IN and builder.__module__ != f"{__name__}.{BUILT_IN[name]}":
            raise ValueError(f"architecture '{name}' is built in; choose another name")
        _REGISTRY[name] = builder
        return builder

    return register


def list_architectures() -> list[str]:
    """Return the names of all architectures: built in, registered and installed."""
    return sorted({*BUILT_IN, *_REGISTRY, *_plugins(tuple(sys.path)).names})


def get_builder(name: str) -> Builder:
    """Return the builder of an architecture.

    Raises:
        LookupError: No architecture has this name.
    """
    if name in BUILT_IN:
        import_module(f".{BUILT_IN[name]}", __name__)
    if name in _REGISTRY:
        return _REGISTRY[name]
    for plugin in _plugins(tuple(sys.path)).select(name=name):
        return cast("Builder", plugin.load())
    raise LookupError(f"architecture '{name}' is not installed")


@cache
def _plugins(_path: tuple[str, ...]) -> EntryPoints:
    """Return the plugins on the module search path; finding them takes 20 ms."""
    return entry_points(group="lightmeter.architectures")


def build(spec: "ModelSpec") -> "nn.Module":
    """Build the network of a specification, with initial weights.

    Raises:
        LookupError: The architecture is not installed.
        TypeError: The architecture has no such option.
        ValueError: An option or the preprocessing does not suit the architecture.
    """
    return get_builder(spec.architecture)(spec, **spec.architecture_options)
