"""What decides an output of a network for a photograph: caches are named after it, and machines are compared by it."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightmeter.models.architectures import get_builder
from lightmeter.models.runtime.engines import engine_version
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.plugins import installed

_ENGINE_PACKAGES = ("pillow", "numpy", "torch", "timm")


def output_identity(predictor: Predictor, output: OutputName | None, device: str | None = None) -> dict[str, Any]:
    """Return everything that decides an output of a network for a photograph.

    Args:
        predictor: Predictor of the network.
        output: Name of the output; None for the inputs of the network.
        device: Kind of the device that computes it, ``cpu`` or ``cuda`` (default: that of the predictor).
    """
    spec = predictor.spec
    identity = {
        "preprocessing": asdict(spec.preprocessing),
        "packages": {name: _version(name) for name in ("lightmeter", *_ENGINE_PACKAGES)},
    }
    if output is None:
        return identity
    state = {name: values for name, values in predictor.network.state_dict().items() if _decides(name, output)}
    return {
        **identity,
        "output": output,
        "architecture": [spec.architecture, dict(spec.architecture_options), builder_version(spec.architecture)],
        "weights": state_sha256(state),
        "device": device or predictor.device.type,
        "engine": engine_version(predictor.engine),
    }


def _decides(name: str, output: OutputName) -> bool:
    """Return whether an output depends on the parameter or buffer of a name."""
    if output == "activations":
        return "backbone" in name.partition(".")[0]
    return output != "features" or not name.startswith("heads.")


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return a hash of tensors with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, values in state.items():
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def builder_version(architecture: str) -> list[str]:
    """Return what identifies the code of an architecture: the version of its package, and the hash of its source."""
    plugin = installed("architectures").get(architecture)
    package = [f"{plugin.distribution} {plugin.version}"] if plugin else []
    return [*package, _source_sha256(get_builder(architecture))]


@cache
def _source_sha256(builder: Callable[..., Any]) -> str:
    """Return the hash of the package folder, or of the file, that defines a builder; empty if there is no source."""
    module = inspect.getmodule(builder)
    try:
        file = Path(inspect.getsourcefile(builder) or "")
        files = sorted(file.parent.glob("*.py")) if module and module.__package__ else [file]
        return hashlib.sha256(b"".join(source.read_bytes() for source in files)).hexdigest()
    except (OSError, TypeError):
        return ""


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
