"""Devices, and several processes that train one network (``torchrun``); a single process needs no set-up."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.models.runtime.engines import EngineError, EngineName, check_engine
from lightmeter.project import find_optional_project
from lightmeter.settings import read_settings

Result = TypeVar("Result")

_RENDEZVOUS = timedelta(minutes=5)
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
    return _number("RANK", 0)


def local_rank() -> int:
    """Return the number of this process on its machine, which is the number of its GPU."""
    return _number("LOCAL_RANK", 0)


def world_size() -> int:
    """Return the number of processes."""
    return _number("WORLD_SIZE", 1)


def is_main_process() -> bool:
    """Return whether this process writes files and output."""
    return rank() == 0


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the process group while the block runs.

    Raises:
        LightmeterError: The other processes cannot be reached, or one of them ends before the block does.
    """
    if world_size() == 1:
        yield
        return
    _join(device)
    try:
        yield
        distributed.barrier()
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise LightmeterError(
            "The connection to another process was lost; see its message, and run the same command with --resume on "
            "all machines."
        ) from error
    finally:
        distributed.destroy_process_group()


def _join(device: str) -> None:
    rank()  # a number
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    try:
        store, number, count = next(rendezvous("env://", timeout=_RENDEZVOUS))
        store.set_timeout(_TIMEOUT)
        backend = "nccl" if device.startswith("cuda") else "gloo"
        distributed.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_TIMEOUT)
    except (ValueError, RuntimeError) as error:
        address = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise LightmeterError(
            f"Cannot join the other processes at {address} ({str(error).splitlines()[0].rstrip('.')}); start all with "
            "torchrun and the same --rdzv-endpoint."
        ) from error


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise UsageError(f"The variable {variable} is '{text}', not a number; start the processes with torchrun.")
    return int(text)


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
def one_process_first() -> Iterator[None]:
    """Let one process of each machine run a block before the others of the machine run it."""
    if world_size() > 1 and local_rank():
        distributed.barrier()
    yield
    if world_size() > 1 and not local_rank():
        distributed.barrier()


def gather(value: Result) -> list[Result]:
    """Return the values of all processes, in their order."""
    values: list[Any] = [value]
    if world_size() > 1:
        values *= world_size()
        distributed.all_gather_object(values, value)
    return values


def check_same(identity: Mapping[str, Any]) -> None:
    """Check that all processes would train the same.

    Args:
        identity: All that determines the result of this process, by what it is called in an error message.

    Raises:
        UsageError: Something differs.
    """
    first, *others = gather(identity)
    differing = [name for name, value in first.items() if any(other.get(name) != value for other in others)]
    if differing:
        raise UsageError(f"The processes differ in the {' and the '.join(differing)}; give all of them the same.")


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
