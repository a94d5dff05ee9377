"""Lazy exports (PEP 562), so that importing a package does not import its heavy modules."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package that imports exported names when they are first used.

    Args:
        package: ``__name__`` of the package.
        modules: Module of each exported name, relative to the package.

    Example:
        >>> __getattr__ = lazy_exports("lightmeter", {"open_dataset": "labels"})
        >>> __getattr__("open_dataset").__name__
        'open_dataset'
    """

    def getattr_(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return getattr_
