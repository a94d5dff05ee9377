"""Lightmeter estimates how a photograph was made: aperture, ISO, shutter speed, focal length, film or digital.

The names below are the entry points for notebooks. `lightmeter.harvest`, `lightmeter.labels`, `lightmeter.models` and
`lightmeter.serve` export what plugins build on, `lightmeter.testing` what tests them.
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.project import Project

if TYPE_CHECKING:
    from lightmeter.harvest import open_catalogue
    from lightmeter.labels import open_dataset
    from lightmeter.models import load_predictor

__version__ = "0.1.0"

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime would report its use to its maker

__all__ = ["LightmeterError", "Project", "UsageError", "load_predictor", "open_catalogue", "open_dataset"]


def lazy_exports(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package that imports exported names when they are first used (PEP 562).

    Args:
        package: ``__name__`` of the package.
        modules: Module of each exported name, relative to the package.
    """

    def getattr_(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return getattr_


__getattr__ = lazy_exports(
    __name__, {"load_predictor": "models", "open_catalogue": "harvest", "open_dataset": "labels"}
)
