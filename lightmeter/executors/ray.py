"""The executor of a Ray cluster."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import islice
from typing import Any

from lightmeter.errors import LightmeterError, require_extra
from lightmeter.executors.base import Executor, Failed, Item, NotRun, Result, Shard, WorkerCrashed
from lightmeter.executors.ray_head import RayHead, lost, unreachable
from lightmeter.images.memory import keep_freed_memory
from lightmeter.terminal.console import get_console
from lightmeter.text.numbers import counted

_ATTEMPTS = 4
_PENDING_PER_CORE = 2
_WAIT_S = 5.0
_HEAD_TIMEOUT_S = 24 * 3600


class RayExecutor(Executor):
    """Runs each shard as a task of a Ray cluster, whose machines have Lightmeter too.

    The tasks of a machine that is lost run again on the others. A shard whose process dies repeatedly is run item by
    item, so that only the item that kills it fails. If the head is lost, `run` ends.

    Args:
        address: Address of the cluster, such as ``10.0.0.1:6379``; None for that of ``RAY_ADDRESS``, of the cluster
            that runs on this machine, or of a new one on its cores.
        use_gpus: Whether a task asks for a GPU, if the cluster has any.

    Raises:
        UsageError: Ray is not installed.
        LightmeterError: The cluster cannot be reached.
    """

    shard_size = 16

    def __init__(self, address: str | None = None, *, use_gpus: bool = False) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # Ray would end this process, which may long have left the cluster alone; `run` asks the head more often.
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(_HEAD_TIMEOUT_S))
        address = address or os.environ.get("RAY_ADDRESS")
        if address and address not in ("auto", "local"):
            RayHead(address).connect()  # first, as the import takes seconds
        with require_extra("ray", "ray"):
            self._ray: Any = import_module("ray")
        options = {} if address else {"include_dashboard": False}
        try:
            self._ray.init(
                address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR, **options
            )
        except Exception as error:
            raise unreachable(address, str(error).splitlines()[0]) from error
        # Ray would print what happens to its nodes to standard output, into the result of a command.
        import_module("ray._private.worker").print_to_stdstream = _print_nothing  # type: ignore[attr-defined]
        context = self._ray.get_runtime_context()
        self._head = RayHead(address if address and address.startswith("ray://") else context.gcs_address)
        self._machines, self._this_machine = self._alive(), context.get_node_id()
        resources = self._ray.cluster_resources()
        self._cores = max(1, int(resources.get("CPU", 1)))
        self._options: dict[str, Any] = {"num_cpus": 1, "max_retries": _ATTEMPTS}
        if use_gpus and resources.get("GPU"):
            self._options["num_gpus"] = 1
            self.device = "cuda"
            self._cores = max(1, int(resources["GPU"]))
        self._task = self._ray.remote(_run_items).options(**self._options)
        for _ in range(self._cores):  # Ray starts its processes while the command looks for its work
            self._task.remote(None, ())

    def close(self) -> None:
        """Leave the cluster."""
        with suppress(Exception):  # the cluster has ended
            if self._head.answers() and (left := len(self._machines - self._alive())):
                get_console().note(f"{counted(left, 'machine')} left the Ray cluster meanwhile; others did its work.")
        self._ray.shutdown()

    def _alive(self) -> set[str]:
        return {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def run(
        self,
        function: Callable[[Item], Result],
        shards: Iterable[Shard[Item]],
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Shard[Item], list[Result | Failed]]]:
        """Yield the shards in the order in which they are done.

        Raises:
            LightmeterError: The head of the cluster or the node of this machine is lost, or a machine lacks the
                function.
        """
        source = iter(shards)
        shared = self._ray.put(function)  # once, whatever it carries
        pending: dict[Any, Shard[Item]] = {}
        try:
            while True:
                free = 0 if stopped() else _PENDING_PER_CORE * self._cores - len(pending)
                pending |= {self._task.remote(shared, shard.items): shard for shard in islice(source, free)}
                if not pending:
                    return
                ready = self._wait(list(pending))
                shard = pending.pop(ready)
                yield shard, self._result(ready, shared, shard.items, stopped)
        finally:
            for reference in pending:
                self._ray.cancel(reference)

    def _wait(self, references: list[Any]) -> Any:
        """Return the first task that is done.

        Raises:
            LightmeterError: The head of the cluster is lost, or the node of this machine.
        """
        while True:
            self._head.check()
            ready, _ = self._ray.wait(references, num_returns=1, timeout=_WAIT_S)
            if ready:
                return ready[0]
            if self._head.answers() and self._this_machine not in self._alive():
                raise LightmeterError(lost("The Ray node of this machine has ended"))

    def _result(
        self, reference: Any, function: Any, items: Sequence[Item], stopped: Callable[[], bool]
    ) -> list[Result | Failed]:
        """Return the results of a task; if its process has died, those of tasks for each item."""
        try:
            return self._ray.get(reference)  # type: ignore[no-any-return]
        except self._ray.exceptions.RayTaskError as error:  # for example a version without the function
            raise LightmeterError(f"A task failed on the Ray cluster: {error.cause}.") from error
        except self._ray.exceptions.RayError:
            if len(items) == 1:
                return [Failed(WorkerCrashed("the worker process died"))]
            if stopped():
                return [Failed(NotRun())] * len(items)
        task = self._ray.remote(_run_items).options(**self._options | {"max_retries": 1})
        references = [task.remote(function, [item]) for item in items]
        return [
            self._result(self._wait([single]), function, [item], stopped)[0]
            for single, item in zip(references, items, strict=True)
        ]


def _run_items(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result | Failed]:
    """Apply a function to each item, on a machine of the cluster."""
    keep_freed_memory()
    results: list[Result | Failed] = []
    for item in items:
        try:
            results.append(function(item))
        except Exception as error:  # noqa: BLE001 - the other items go on
            results.append(Failed(error))
    return results


def _print_nothing(*_: object, **__: object) -> None:
    """Take the place of the function with which Ray prints messages of a cluster."""
