"""Training of a network by gradient descent, in phases, with checkpoints."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightmeter.errors import Interrupted, LightmeterError
from lightmeter.models.evaluation.report import write_history
from lightmeter.models.runtime.engines.outputs import OutputName, normalised
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.models.training import distributed
from lightmeter.models.training.data.batches import (
    Batch,
    PhotoDataset,
    ShardBatches,
    batch_loader,
    epoch_batches,
    own_rows,
)
from lightmeter.models.training.data.feature_cache import cached_outputs
from lightmeter.models.training.data.identity import builder_version
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.methods import Network, Phase
from lightmeter.models.training.network.augmentation import Augmentation
from lightmeter.models.training.network.checkpoint import TrainerState, load_checkpoint, save_checkpoint
from lightmeter.models.training.network.cuda_graph import GraphedNetwork
from lightmeter.models.training.network.losses import Loss
from lightmeter.models.training.network.optimisation import (
    Optimisation,
    OptimisationState,
    frozen_parameters,
    set_train_mode,
)
from lightmeter.terminal import console

_IMAGE_AXES = 4


class Trainer:
    """Trains the network of a predictor in place.

    Args:
        predictor: Its network is trained.
        job: Data, seed and checkpoint directory.
        training: Settings of the recipe.

    Attributes:
        train_batches: Batches of the training split; shuffled anew in each epoch.
    """

    def __init__(self, predictor: Predictor, job: FitJob, training: Network) -> None:
        self.predictor, self.job, self.training = predictor, job, training
        self.network, self.device = predictor.network, predictor.device
        distributed.check_same(self._identity())
        shard_rows = own_rows(job.dataset, job.rows["train"])
        rows = {"train": job.rows["train"] if shard_rows is None else shard_rows}
        if distributed.is_main_process():
            rows["validation"] = job.rows["validation"]
        output: OutputName | None = "activations" if training.cache_activations else None
        with distributed.one_process_first():
            self.inputs = {
                split: cached_outputs(predictor, output, job.dataset, split_rows, job.executor)
                for split, split_rows in rows.items()
            }
        self.train_data = PhotoDataset(self.inputs["train"], predictor.spec.targets)
        self.sampler = epoch_batches(len(self.train_data), training.batch_size, shards=shard_rows is not None)
        self.train_batches: Iterable[Batch] = batch_loader(
            self.train_data, training.batch_size, self.device, self.sampler
        )
        classes = self.train_data.classes if shard_rows is None else _joined(self.train_data.classes)
        self.loss = Loss(predictor.spec.targets, classes, self.device, training)
        self.normalise = Normalisation(predictor.spec.preprocessing, self.device)
        self.state = TrainerState()
        self.start = time.perf_counter()
        self.earlier_seconds = self.waiting_seconds = 0.0

    def fit(self) -> FitResult:
        """Train through all phases and load the best weights into the network.

        Raises:
            Interrupted: Training was stopped from the keyboard; it can be resumed.
            LightmeterError: The loss became NaN or infinite.
        """
        saved = self._resume() if self.job.resume else None
        if self.training.channels_last:
            _set_memory_format(self.network, torch.channels_last)
        try:
            for number in range(self.state.phase, len(self.training.phases)):
                self._fit_phase(number, saved)
                saved = None
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"Stopped after {len(self.state.history)} epochs; resume with the same command and --resume."
            ) from error
        # The memory format of a loaded model: sums in the same order give the same bits.
        _set_memory_format(self.network, torch.contiguous_format)
        return self._result()

    def _fit_phase(self, number: int, saved: OptimisationState | None) -> None:
        phase, state = self.training.phases[number], self.state
        if saved is None:
            state.start_phase(number)
        optimisation = self.optimisation(phase)
        if saved is not None:
            optimisation.load(saved)
        forward = self.forward(phase)
        with console.get_console().progress("{task.fields[loss]}") as progress:
            task = progress.add_task(f"phase {number + 1}", total=phase.epochs, completed=state.epoch, loss="")
            while state.epoch < phase.epochs and state.epoch - state.best_epoch < self.training.patience:
                learning_rate = optimisation.learning_rate
                train_loss = self.train_epoch(forward, optimisation, phase)
                validation_loss = self._validate(optimisation.evaluated)
                state.finish_epoch(learning_rate, train_loss, validation_loss, optimisation.evaluated)
                self._save(optimisation)
                self._report_epoch(phase)
                progress.update(task, completed=state.epoch, loss=f"validation loss {validation_loss:.4f}")
        self.network.load_state_dict(state.best)

    def optimisation(self, phase: Phase) -> Optimisation:
        """Return what updates the weights in a phase; the parameters that it does not train need no gradients."""
        return Optimisation(self.network, self.training, phase, len(self.sampler))

    def forward(self, phase: Phase) -> Any:
        """Return the network as a phase calls it: compiled, on several devices, or as a CUDA graph."""
        network = distributed.wrap_ddp(self.network, self.device)
        if self.training.compile:
            return torch.compile(network)
        if self.device.type == "cuda" and distributed.world_size() == 1:
            set_train_mode(self.network, phase)
            return GraphedNetwork(network, self._autocast(cache_enabled=False))
        return network

    def train_epoch(self, forward: Any, optimisation: Optimisation, phase: Phase) -> float:
        """Train on each photograph once and return the mean loss."""
        seed = self._epoch_seed()
        torch.manual_seed(seed)
        self.sampler.seed = seed
        augment = Augmentation(self.training, [seed + 1, distributed.rank()])
        set_train_mode(self.network, phase)
        losses: list[Tensor] = []
        sizes: list[int] = []
        for batch in self._timed(self.train_batches):
            optimisation.zero_grad()
            sizes.append(_length(batch.inputs))
            with self._autocast():
                loss = self.loss(forward(self.normalise(batch.inputs, augment)), batch.classes, batch.stops)
            loss.backward()
            optimisation.step()
            losses.append(loss.detach())
        values = torch.stack(losses).tolist() if losses else []  # a GPU need not wait for each of them
        for step, value in enumerate(values, 1):
            self._check(value, f"step {step}")
        return distributed.mean_over_processes(values, sizes, self.device)

    def _epoch_seed(self) -> int:
        text = f"{self.job.seed} {self.state.phase} {self.state.epoch}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def _timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches and add up the time spent waiting for them."""
        iterator = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(iterator, None)
            self.waiting_seconds += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    @cached_property
    def _validation_data(self) -> PhotoDataset:
        """The validation photographs, which the main process alone reads."""
        return PhotoDataset(self.inputs["validation"], self.predictor.spec.targets)

    @cached_property
    def _validation_batches(self) -> Iterable[Batch]:
        """Their batches, which a GPU keeps in its memory."""
        return batch_loader(self._validation_data, self.training.batch_size, self.device)

    def _validate(self, network: nn.Module) -> float:
        """Return the validation loss of the main process's network in all processes, which then decide alike."""
        value = distributed.from_main_process(lambda: self._validation_loss(network))
        self._check(value, "on validation")
        return value

    def _validation_loss(self, network: nn.Module) -> float:
        logits = self._validation_logits(network)
        with torch.inference_mode():
            return float(self.loss(logits, self._validation_data.classes, self._validation_data.stops))

    def _validation_logits(self, network: nn.Module) -> dict[str, Tensor]:
        """Return the logits of the validation split by target, each of shape (N, C)."""
        network.eval()
        with torch.inference_mode():
            parts = [network(self.normalise(batch.inputs)) for batch in self._timed(self._validation_batches)]
        return {name: torch.cat([part[name] for part in parts]).float() for name in parts[0]}

    def _check(self, loss: float, where: str) -> None:
        if not np.isfinite(loss):
            raise LightmeterError(
                f"The loss became {loss} in phase {self.state.phase + 1}, epoch {self.state.epoch + 1}, {where}; "
                "try a lower learning rate (--set learning_rate=…)."
            )

    def _autocast(self, *, cache_enabled: bool = True) -> torch.autocast:
        supported = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        enabled = supported and self.training.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=cache_enabled)

    def _report_epoch(self, phase: Phase) -> None:
        """Write the history so far, log the epoch, and print a line where no progress bar is shown."""
        if not distributed.is_main_process():
            return
        row, step = self.state.history[-1], len(self.state.history)
        write_history(self.job.partial, self.state.history)
        self.job.tracking.log(step, row)
        if not console.get_console().is_interactive:
            console.get_console().note(
                f"phase {row['phase']}, epoch {row['epoch']} of {phase.epochs}: training loss {row['train_loss']:.4f}, "
                f"validation loss {row['validation_loss']:.4f}, learning rate {row['learning_rate']:.2g}"
            )

    def _save(self, optimisation: Optimisation) -> None:
        self.state.seconds = self.earlier_seconds + time.perf_counter() - self.start
        if distributed.is_main_process():
            save_checkpoint(self.job.partial, self._identity(), self.state, self.network, optimisation.state())

    def _resume(self) -> OptimisationState | None:
        """Load the main process's checkpoint, if there is one, and return the progress of its phase."""
        checkpoint = distributed.from_main_process(
            lambda: load_checkpoint(self.job.partial, self._identity(), self.network)
        )
        if checkpoint is None:
            return None
        self.network.load_state_dict(checkpoint.weights)
        self.state = checkpoint.progress
        self.earlier_seconds = self.state.seconds
        console.get_console().note(f"Resuming after {len(self.state.history)} epochs.")
        for step, row in enumerate(self.state.history, start=1):
            self.job.tracking.log(step, row)
        return checkpoint.optimisation

    def _identity(self) -> dict[str, Any]:
        """Return all that determines the result."""
        spec = self.predictor.spec.as_dict()
        return {
            "version of Lightmeter": spec["lightmeter"],
            "architecture": [spec["architecture"], spec["architecture_options"], builder_version(spec["architecture"])],
            "preprocessing": spec["preprocessing"],
            "recipe": self.training.model_dump(mode="json"),
            "data set": [spec["data"], spec["targets"]],
            "seed": self.job.seed,
        }

    def _result(self) -> FitResult:
        """Return the result in the main process, and nothing in others."""
        if isinstance(self.sampler, ShardBatches):
            train = self.inputs["train"]
            shares = distributed.gather((train.statistics, train.unreadable))
            self.inputs["train"] = replace(
                train,
                statistics=[photo for statistics, _ in shares for photo in statistics],
                unreadable=[photo for _, unreadable in shares for photo in unreadable],
            )
        if not distributed.is_main_process():
            return FitResult()
        frozen = set.intersection(*(frozen_parameters(self.network, phase) for phase in self.training.phases))
        waiting_share = self.waiting_seconds / (time.perf_counter() - self.start)
        result = FitResult(
            facts={"epochs": len(self.state.history), "waiting_share": round(waiting_share, 3)},
            history=self.state.history,
            inputs=self.inputs,
            unreadable=[photo for split in self.inputs.values() for photo in split.unreadable],
            earlier_seconds=self.earlier_seconds,
            trained_parameters=sum(p.numel() for name, p in self.network.named_parameters() if name not in frozen),
        )
        logits = {name: values.cpu().numpy() for name, values in self._validation_logits(self.network).items()}
        result.calibrate(logits, self._validation_data.inputs.rows, self.predictor.spec.targets)
        return result


class Normalisation:
    """Moves the inputs of a batch to a device and makes them floats.

    Args:
        settings: Mean and standard deviation of images.
        device: The device.
    """

    def __init__(self, settings: Preprocessing, device: torch.device) -> None:
        self._device = device
        self._mean, self._std = (
            torch.tensor(values, device=device)[:, None, None] for values in (settings.mean, settings.std)
        )

    def __call__(self, inputs: Mapping[str, Tensor], augment: Augmentation | None = None) -> dict[str, Tensor]:
        """Return the inputs of the network.

        Args:
            inputs: Inputs by name, each with a leading axis of N photographs.
            augment: Changes images at random; None to leave them as they are.
        """
        moved = {name: values.to(self._device, non_blocking=True) for name, values in inputs.items()}
        return normalised(augment(moved) if augment else moved, self._mean, self._std)


def _set_memory_format(network: nn.Module, memory_format: torch.memory_format) -> None:
    """Set the memory format of convolutions; their inputs follow."""
    for parameter in network.parameters():
        if parameter.dim() == _IMAGE_AXES:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)


def _joined(classes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the classes of the photographs of all processes."""
    parts = distributed.gather(dict(classes))
    return {name: torch.cat([part[name] for part in parts]) for name in classes}


def _length(inputs: Mapping[str, Tensor]) -> int:
    return len(next(iter(inputs.values())))
