"""Devices, and several processes that train one network (``torchrun``); a single process needs no set-up."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lightmeter.errors import UsageError

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
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_TIMEOUT)
    try:
        yield
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


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


def wrap_ddp(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network whose gradients are averaged over all processes."""
    if world_size() == 1:
        return network
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
