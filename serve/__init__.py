"""Serve models with TorchServe.

Example:
    >>> from lightmeter.serve import Client, write_archive
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightmeter.serve.archive import write_archive
    from lightmeter.serve.client import Client

__all__ = ["Client", "write_archive"]

_MODULES = {"Client": "client", "write_archive": "archive"}


def __getattr__(name: str) -> Any:
    """Import an exported name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
