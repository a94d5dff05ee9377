"""Commands in processes of their own: killed at a certain step, or two that train together.

`tests.command_server` calls these functions; each takes the arguments of ``lightmeter``.
"""

import os
import signal
import socket
from typing import Any

from lightmeter.cli import main


def killed_after_checkpoint(args: list[str]) -> int:
    """Train, but die after the first checkpoint."""
    from lightmeter.models.training.network.trainer import Trainer

    _kill_after(Trainer, "_save")
    return main(args)


def killed_after_cached_features(args: list[str]) -> int:
    """Train, but die after the features of four photographs are cached."""
    from lightmeter.models.training.data import array_cache

    array_cache._CHECKPOINT_PHOTOGRAPHS = 4
    _kill_after(array_cache.ArrayCache, "_write")
    return main(args)


def killed_after_trial(args: list[str]) -> int:
    """Search, but die after the first trial."""
    from lightmeter.models.training import search

    _kill_after(search, "_write_result")
    return main(args)


def _kill_after(owner: Any, name: str) -> None:
    function = getattr(owner, name)

    def call_and_kill(*args: Any) -> None:
        function(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, call_and_kill)


def two(args: list[str]) -> int:
    """Run a command in two processes with the variables that torchrun sets."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    os.environ.update(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    child = os.fork()
    rank = str(int(child == 0))
    os.environ.update(RANK=rank, LOCAL_RANK=rank)
    code = _share_value(args[1]) if args[0] == "share-value" else main(args)
    if not child:
        os._exit(code)
    return code or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _share_value(folder: str) -> int:
    """Write the value that the processes agree on, of those that each has, to a file named after its rank."""
    from pathlib import Path

    import torch

    from lightmeter.models.training import distributed

    with distributed.process_group("cpu"), torch.inference_mode():
        value = distributed.broadcast(torch.tensor(5.0 + distributed.rank()))
        Path(folder, str(distributed.rank())).write_text(str(value))
    return 0
