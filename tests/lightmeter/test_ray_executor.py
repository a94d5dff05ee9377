"""The executor of a Ray cluster, on a Ray that runs tasks here; `benchmarks.scale.ray_inspection` uses a real cluster."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.executors import ray_head
from lightmeter.executors.base import Executor, Failed, NotRun, Shard, WorkerCrashed
from lightmeter.executors.ray import RayExecutor
from lightmeter.terminal.console import Console, use_console


class Killed(BaseException):
    """The process of a task is killed."""


class RayError(Exception):
    """A task is lost."""


class RayTaskError(RayError):
    """A task failed before its function was called."""

    cause = "no module named 'x'"


class Ray(ModuleType):
    """Tasks run when their result is fetched, the last ones first.

    Attributes:
        alive: Number of machines.
        head: Address of the head.
        resources: What the cluster has.
        options: What the tasks need, as it was asked for last.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self) -> None:
        super().__init__("ray")
        self.alive = 2
        self.head = ""
        self.resources = {"CPU": 2.0}
        self.options: dict[str, Any] = {}

    def init(self, *_: object, **__: object) -> None:
        pass

    shutdown = cancel = init

    def get_runtime_context(self) -> SimpleNamespace:
        return SimpleNamespace(gcs_address=self.head, get_node_id=lambda: "0")

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def nodes(self) -> list[dict[str, object]]:
        return [{"NodeID": str(number), "Alive": number < self.alive} for number in range(2)]

    def put(self, value: object) -> object:
        return value

    def remote(self, function: Callable[..., Any]) -> Any:
        def task(*args: Any) -> Callable[[], Any]:
            return lambda: function(*args)

        def with_options(**options: Any) -> SimpleNamespace:
            self.options = options
            return SimpleNamespace(remote=task)

        return SimpleNamespace(options=with_options)

    def wait(self, references: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        return references[-1:], references[:-1]

    def get(self, reference: Callable[[], Any]) -> Any:
        try:
            return reference()
        except Killed as error:
            raise RayError from error


@pytest.fixture
def head() -> Iterator[socket.socket]:
    """A server that greets with the first bytes of gRPC, until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond() -> None:
            with suppress(OSError):  # closed
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))

        threading.Thread(target=respond, daemon=True).start()
        yield server
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, head: socket.socket) -> Ray:
    module = Ray()
    module.head = "{}:{}".format(*head.getsockname())
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.setitem(sys.modules, "ray._private.worker", ModuleType("worker"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return module


def square(number: int) -> int:
    """Return a square; 3 fails, and 7 kills the process."""
    if number == 7:
        raise Killed
    if number == 3:
        raise ValueError(number)
    return number * number


def outcomes(executor: Executor, function: Callable[[int], int]) -> dict[int, Any]:
    shards = [Shard(str(start), list(range(start, start + 5))) for start in range(0, 40, 5)]
    return {
        item: type(result.error) if isinstance(result, Failed) else result
        for shard, results in executor.run(function, shards)
        for item, result in zip(shard.items, results, strict=True)
    }


def test_only_the_item_that_fails_or_kills_its_process_is_missing(ray: Ray, capsys: pytest.CaptureFixture[str]) -> None:
    with use_console(Console()), RayExecutor() as executor:
        expected = {number: number * number for number in range(40)} | {3: ValueError, 7: WorkerCrashed}
        assert outcomes(executor, square) == expected
        ray.alive = 1
    assert "1 machine left the Ray cluster" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("resources", "use_gpus", "device", "gpus"),
    [
        ({"CPU": 16.0, "GPU": 2.0}, True, "cuda", 1),
        ({"CPU": 16.0, "GPU": 2.0}, False, "cpu", None),
        ({"CPU": 16.0}, True, "cpu", None),
    ],
    ids=["GPUs", "GPUs for others", "no GPU"],
)
def test_tasks_ask_for_the_gpus_of_a_cluster(
    ray: Ray, resources: dict[str, float], use_gpus: bool, device: str, gpus: int | None
) -> None:
    ray.resources = resources
    with RayExecutor(use_gpus=use_gpus) as executor:
        assert executor.device == device
        assert outcomes(executor, abs) == {number: number for number in range(40)}
        assert (ray.options["num_cpus"], ray.options.get("num_gpus")) == (1, gpus)


def test_stopping_begins_nothing_new_and_repeats_nothing(ray: Ray) -> None:
    done: dict[int, Any] = {}

    def stopped() -> bool:
        return bool(done)

    shards = (Shard(str(number), [number, 7]) for number in range(100, 200))
    with RayExecutor() as executor:
        for shard, results in executor.run(square, shards, stopped):
            done.update(zip(shard.items, results, strict=True))
    assert 1 <= len(done) - 1 <= 4
    assert isinstance(done[7].error, NotRun)


def test_lost_head_is_one_sentence_after_the_results_until_then(
    ray: Ray, head: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_head, "_INTERVAL_S", 0.0)
    monkeypatch.setattr(ray_head, "_SILENCE_S", 0.0)
    with RayExecutor() as executor:
        results = executor.run(square, (Shard(str(number), [number]) for number in range(10, 20)))
        next(results)
        next(results)
        head.shutdown(socket.SHUT_RDWR)
        with pytest.raises(LightmeterError, match=r"The head of the Ray cluster at .* no longer answers.*again\.$"):
            list(results)


def test_function_that_a_machine_lacks_ends_the_command(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RayTaskError

    monkeypatch.setattr(ray, "get", fail)
    with RayExecutor() as executor, pytest.raises(LightmeterError, match=r"A task failed .*: no module named 'x'"):
        outcomes(executor, square)


@pytest.mark.parametrize("address", ["host", "host:", ":6379", "host:port", "host:-1", "ray://host", "h o:1:2:x"])
def test_address_without_host_or_port_is_wrong_usage(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a Ray cluster; use HOST:PORT"):
        RayExecutor(address)


def test_missing_cluster_and_missing_extra_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999999"):
        with pytest.raises(LightmeterError, match=r"Cannot use the Ray cluster at .*\(.*\); check --address\.$"):
            RayExecutor(address)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs ray: pip install 'lightmeter\[ray\]'"):
        RayExecutor("local")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"E"])
def test_other_service_at_the_address_is_one_sentence(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        threading.Thread(target=respond, daemon=True).start()
        with pytest.raises(LightmeterError, match="another service listens there"):
            RayExecutor(f"127.0.0.1:{server.getsockname()[1]}")
