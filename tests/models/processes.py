"""Commands in processes of their own: killed at a certain step, or two that train together.

`tests.command_server` calls these functions; each takes the arguments of ``lightmeter``.
"""

import os
import signal
import socket
from pathlib import Path
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
    """Run a command in two processes with the variables that torchrun sets, each in a working directory of its own."""
    port = _free_port()
    os.environ.update(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    child, rank = _fork_machine()
    os.environ.update(RANK=rank, LOCAL_RANK=rank)
    return _wait(child, main(args))


def two_until_one_dies(args: list[str]) -> int:
    """Train in two processes, the second of which dies in the second epoch."""
    from lightmeter.models.training.network.trainer import Trainer

    train_epoch = Trainer.train_epoch

    def train_or_die(trainer: Any, *arguments: Any) -> float:
        if trainer.state.epoch and os.environ["RANK"] == "1":
            os._exit(9)
        return train_epoch(trainer, *arguments)

    Trainer.train_epoch = train_or_die  # type: ignore[method-assign]
    return two(args)


def two_machines(args: list[str]) -> int:
    """Run a command on two machines that torchrun brings together, each with a cache and a working directory."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        2, 2, 1, run_id="test", rdzv_backend="c10d", rdzv_endpoint=f"127.0.0.1:{_free_port()}", max_restarts=0,
        start_method="fork",
    )  # fmt: skip
    child, number = _fork_machine()
    os.environ["XDG_CACHE_HOME"] += f"-{number}"
    return _wait(child, max(elastic_launch(config, main)(args).values()))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _fork_machine() -> tuple[int, str]:
    """Fork; return the process id of the child, 0 in it, and the number of this process."""
    child = os.fork()
    if not child:
        Path("other").mkdir(exist_ok=True)
        os.chdir("other")
    return child, str(int(child == 0))


def _wait(child: int, code: int) -> int:
    if not child:
        os._exit(code)
    return code or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
