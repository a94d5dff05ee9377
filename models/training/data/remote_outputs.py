"""Outputs of a network for the photographs of a data set, computed on the machines of a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightmeter.errors import LightmeterError
from lightmeter.executors.base import Executor, Failed, Shard, WorkerCrashed
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.training.data.identity import output_identity
from lightmeter.models.training.data.loader import Row, photograph_key
from lightmeter.models.training.data.pipeline import Computed, compute_outputs
from lightmeter.models.training.packed_model import PackedModel
from lightmeter.store.base import PhotoStore
from lightmeter.terminal import console

_BATCH = 32  # photographs of a task, and of a forward pass on a GPU
_PASSED_ON = ("sha256", "crop_x", "crop_y", "crop_width", "crop_height")


@dataclass(frozen=True)
class ComputeOutputs:
    """A function that computes an output for photographs of a store, and can be sent to other machines.

    Attributes:
        model: The network.
        output: What to compute; None for the inputs of the network.
        store: Store of the photographs.
        identity: What decides the output on the machine that asks.
    """

    model: PackedModel
    output: OutputName | None
    store: PhotoStore
    identity: Mapping[str, Any]

    def __call__(self, rows: Sequence[Row]) -> list[Computed | InvalidPhoto]:
        """Return the output for each photograph, or why it cannot be used.

        Raises:
            LightmeterError: A photograph is missing or has changed, or this machine would compute something else.
        """
        predictor = self.model.open(self.output or "logits")
        identity = output_identity(predictor, self.output)
        differing = [name for name, value in identity.items() if value != self.identity.get(name)]
        if differing:
            raise LightmeterError(
                f"A machine of the cluster would compute with another {' and another '.join(differing)} than this one; "
                "install the same versions of Lightmeter and its packages on all machines."
            )
        return compute_outputs(predictor, self.output, self.store, rows)


def each_remote_output(
    executor: Executor,
    predictor: Predictor,
    output: OutputName | None,
    store: PhotoStore,
    rows: Sequence[Row],
    description: str,
) -> Iterator[tuple[Row, Computed | InvalidPhoto]]:
    """Yield an output of a network for each photograph, in the order in which the cluster computes them.

    Args:
        executor: The cluster.
        predictor: Predictor of the network.
        output: What to compute; None for the inputs of the network.
        store: Store of the photographs, which all machines can read.
        rows: Manifest rows of the photographs.
        description: Text of the progress bar.

    Raises:
        LightmeterError: A photograph is missing or has changed, a machine has other versions of the packages, or a
            process of the cluster died repeatedly.
    """
    model = PackedModel.of_predictor(predictor, executor.device)
    function = ComputeOutputs(model, output, store, output_identity(predictor, output, executor.device))
    batches = {
        " ".join(photograph_key(rows[start])): rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)
    }
    shards = (
        Shard(key, [[{name: row[name] for name in _PASSED_ON} for row in batch]]) for key, batch in batches.items()
    )
    with console.get_console().progress() as progress:
        task = progress.add_task(description, total=len(rows))
        for shard, (outcome,) in executor.run(function, shards):
            if isinstance(outcome, Failed):
                raise _failure(outcome.error)
            yield from zip(batches[shard.key], outcome, strict=True)
            progress.advance(task, len(outcome))


def _failure(error: Exception) -> LightmeterError:
    if isinstance(error, WorkerCrashed):
        return LightmeterError("A process of the cluster died repeatedly; give its machines more memory.")
    if isinstance(error, LightmeterError):
        return error
    failure = LightmeterError(f"A task failed on the cluster: {error}.")
    failure.__cause__ = error
    return failure
