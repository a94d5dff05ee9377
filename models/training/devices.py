"""Where torch computes."""

import resource
import sys

import torch
from torch import nn

from lightmeter.errors import UsageError
from lightmeter.models.training import distributed

_PICTURE_AXES = 4


def select_device(device: str) -> str:
    """Return the device that a person means by ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UsageError: if there is no such device here.
    """
    if device == "auto":
        return f"cuda:{distributed.local_rank()}" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UsageError(f"There is no device '{device}'; there are auto, cpu, cuda and cuda:NUMBER.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UsageError(f"There is no device '{device}' here; use --device cpu.")
    return device


def set_memory_format(network: nn.Module, memory_format: torch.memory_format) -> None:
    """Lay out a network's convolutions in memory; pictures that they are given follow."""
    for parameter in network.parameters():
        if parameter.dim() == _PICTURE_AXES:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)


def describe(device: str) -> str:
    """Return a device's name to read."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.get_num_threads()} threads)"


def peak_memory_mb(device: str) -> float:
    """Return the most memory used so far, in megabytes: of the GPU where one computes, else of the process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
