"""Models that are sent to other machines, and the clusters that compute with them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lightmeter.errors import UsageError
from lightmeter.executors.base import Executor
from lightmeter.executors.options import ExecutorName, check_address
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import SPEC_FILE, WEIGHTS_FILE
from lightmeter.models.training.distributed import select_engine, world_size
from lightmeter.models.training.runs import find_run, open_run, spec_of, write_model


@dataclass(frozen=True)
class PackedModel:
    """The files of a run, which can be sent to other machines.

    Attributes:
        files: Content of the files by name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:NUMBER``, on the machine that computes.
        engine: What runs the network.
    """

    files: tuple[tuple[str, bytes], ...] = field(repr=False)
    device: str
    engine: EngineName

    @classmethod
    def of_run(cls, run: Path, device: str, engine: EngineName | None) -> "PackedModel":
        """Read a run.

        Raises:
            UsageError: It is damaged, or the engine cannot be used here.
        """
        spec_of(run)
        return cls(_read(find_run(run)), device, select_engine(engine, device)[0])

    @classmethod
    def of_predictor(cls, predictor: Predictor, device: str) -> "PackedModel":
        """Pack a model that is in memory."""
        with TemporaryDirectory() as folder:
            write_model(Path(folder), predictor.spec, predictor.network)
            return cls(_read(Path(folder)), device, predictor.engine)

    @property
    def sha256(self) -> str:
        """Hash of all files."""
        return hashlib.sha256(b"".join(content for _, content in self.files)).hexdigest()

    def open(self, output: OutputName = "logits") -> Predictor:
        """Return the predictor, which each process loads once.

        Args:
            output: What will be computed.
        """
        return _open(self, output)


@contextmanager
def open_cluster(
    executor: ExecutorName, address: str | None, device: str, engine: EngineName | None
) -> Iterator[Executor | None]:
    """Yield the executor of a cluster; None for this machine.

    Args:
        executor: ``local`` or ``ray``.
        address: Address of the cluster.
        device: Device that the user asks for; tasks ask for a GPU, if the cluster has any, unless it is ``cpu``.
        engine: What runs the network; others than torch run on processors.

    Raises:
        UsageError: There is an address without a cluster, Ray is not installed, or several processes train.
        LightmeterError: The cluster cannot be reached.
    """
    check_address(executor, address)
    if executor == "local":
        yield None
        return
    if world_size() > 1:
        raise UsageError("Use either --executor ray or several processes of torchrun.")
    from lightmeter.executors.ray import RayExecutor

    with RayExecutor(address, use_gpus=device != "cpu" and engine in {None, "torch"}) as cluster:
        yield cluster


def _read(folder: Path) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, (folder / name).read_bytes()) for name in (SPEC_FILE, WEIGHTS_FILE))


@lru_cache(maxsize=1)
def _open(model: PackedModel, output: OutputName) -> Predictor:
    name, device = select_engine(model.engine, model.device)
    with TemporaryDirectory() as folder:
        for file, content in model.files:
            (Path(folder) / file).write_bytes(content)
        return open_run(Path(folder), device, name, output)
