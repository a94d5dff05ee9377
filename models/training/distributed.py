"""Devices, and several processes that train one network (``torchrun``); a single process needs no set-up."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.models.runtime.engines import EngineError, EngineName, check_engine
from lightmeter.project import find_optional_project
from lightmeter.settings import read_settings

Result = TypeVar("Result")

_TIMEOUT = timedelta(days=1)  # the other processes wait while one fills the cache


def select_device(device: str) -> str:
    """Return the torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:NUMBER``.

    Raises:
        UsageError: There is no such device.
    """
    if device == "auto":
        return f"cuda:{local_rank()}" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UsageError(f"Unknown device '{device}': use auto, cpu, cuda or cuda:NUMBER.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UsageError(f"Device '{device}' is not available on this machine; use --device cpu.")
    return device


def select_engine(engine: EngineName | None, device: str) -> tuple[EngineName, str]:
    """Return the inference engine and the torch device for what a user asks for.

    Args:
        engine: An engine; None for the one of the project's settings.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:NUMBER``; ``auto`` is the CPU for engines that run there only.

    Raises:
        UsageError: The engine is not installed or does not run on the device, or there is no such device.
    """
    project = find_optional_project()
    name: EngineName = engine or (project.settings if project else read_settings(None)).models.engine
    wanted = "cpu" if device == "auto" and name != "torch" else device
    try:
        check_engine(name, wanted)
    except EngineError as error:
        raise UsageError(str(error)) from error
    return name, select_device(wanted)


def rank() -> int:
    """Return the number of this process."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return the number of this process on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this process writes files and output."""
    return rank() == 0


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the process group while the block runs."""
    if world_size() == 1:
        yield
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_TIMEOUT)
    try:
        yield
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def from_main_process(function: Callable[[], Result]) -> Result:
    """Call a function in the main process and return its result, or raise its error, in all processes."""
    if world_size() == 1:
        return function()
    outcome: list[Any] = [None]
    if is_main_process():
        try:
            outcome = [function()]
        except LightmeterError as error:
            outcome = [error]
    distributed.broadcast_object_list(outcome, 0)
    if isinstance(outcome[0], LightmeterError):
        raise outcome[0]
    result: Result = outcome[0]
    return result


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process run a block before the others run it."""
    if world_size() > 1 and not is_main_process():
        distributed.barrier()
    yield
    if world_size() > 1 and is_main_process():
        distributed.barrier()


def broadcast(value: Tensor) -> float:
    """Return the main process's value in all processes, so that all take the same decisions.

    Each process has its own statistics of batch normalisation, so their validation losses differ slightly.
    """
    if world_size() > 1:
        distributed.broadcast(value, 0)
    return float(value)


def mean_over_processes(losses: Sequence[float], sizes: Sequence[int], device: torch.device) -> float:
    """Return the mean loss over steps whose photographs are shared among all processes.

    Args:
        losses: Mean loss of this process's photographs in each step.
        sizes: Number of this process's photographs in each step.
        device: Device of the training.
    """
    counts = torch.tensor(sizes, dtype=torch.float64, device=device)
    sums = torch.stack([torch.tensor(losses, dtype=torch.float64, device=device) * counts, counts])
    if world_size() > 1:
        distributed.all_reduce(sums)
    return float((sums[0] / sums[1]).mean())


def wrap_ddp(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network whose gradients are averaged over all processes."""
    if world_size() == 1:
        return network
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
