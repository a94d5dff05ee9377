"""Several processes that train one network, started by ``torchrun``; one process is the ordinary case."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = timedelta(days=1)  # with a process that cuts a large data set while the others wait


def rank() -> int:
    """Return this process's number."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return this process's number on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this process is the one that writes and speaks."""
    return rank() == 0


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes while the block runs."""
    if world() == 1:
        yield
        return
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
    try:
        yield
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the first process do a block before the others do it."""
    if world() > 1 and not is_main_process():
        distributed.barrier()
    yield
    if world() > 1 and is_main_process():
        distributed.barrier()


def broadcast(value: Tensor) -> float:
    """Return the first process's value in all of them, so that they decide alike what comes next.

    Each process normalises by the photographs that it saw itself, so their validation losses are not quite the same.
    """
    if world() > 1:
        distributed.broadcast(value, 0)
    return float(value)


def wrap_ddp(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network whose gradients are averaged over all processes."""
    if world() == 1:
        return network
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
