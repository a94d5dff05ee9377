"""Training of a network by gradient descent, in phases, with checkpoints."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightmeter import console
from lightmeter.errors import Interrupted, LightmeterError
from lightmeter.models.runtime.engines.outputs import normalised
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.models.training import distributed
from lightmeter.models.training.checkpoint import TrainerState, load_checkpoint, save_checkpoint
from lightmeter.models.training.cuda_graph import GraphedNetwork
from lightmeter.models.training.data.batches import Batch, PhotoDataset, ShuffledBatches, batch_loader
from lightmeter.models.training.data.feature_cache import builder_version, cached_activations, cached_inputs
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.losses import Loss
from lightmeter.models.training.recipe import Network, Phase

_OPTIMISERS: dict[str, type[torch.optim.Adam]] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
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
        targets = predictor.spec.targets
        with distributed.main_process_first():
            cached = cached_activations if training.cache_activations else cached_inputs
            inputs = self.inputs = {split: cached(predictor, job.dataset, rows) for split, rows in job.rows.items()}
        self.unreadable = [photo for split in inputs.values() for photo in split.unreadable]
        self.train_data, self.validation_data = (
            PhotoDataset(inputs[split], targets) for split in ("train", "validation")
        )
        self.sampler = ShuffledBatches(len(self.train_data), training.batch_size)
        self.train_batches: Iterable[Batch] = batch_loader(
            self.train_data, training.batch_size, self.device, self.sampler
        )
        self.validation_batches = batch_loader(self.validation_data, training.batch_size, self.device)
        self.loss = Loss(targets, self.train_data.classes, self.device, training)
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
        optimiser_state = self._resume() if self.job.resume else None
        if self.training.channels_last:
            _set_memory_format(self.network, torch.channels_last)
        try:
            for number in range(self.state.phase, len(self.training.phases)):
                self._fit_phase(number, optimiser_state)
                optimiser_state = None
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"Stopped after {len(self.state.history)} epochs; resume with the same command and --resume."
            ) from error
        # The memory format of a loaded model: sums in the same order give the same bits.
        _set_memory_format(self.network, torch.contiguous_format)
        return self._result()

    def _fit_phase(self, number: int, optimiser_state: dict[int, Any] | None) -> None:
        phase, state = self.training.phases[number], self.state
        if optimiser_state is None:
            state.start_phase(number)
        optimiser = self.optimiser(phase)
        if optimiser_state is not None:
            optimiser.load_state_dict({**optimiser.state_dict(), "state": optimiser_state})
        forward = self.forward(phase)
        with console.get_console().progress("{task.fields[loss]}") as progress:
            task = progress.add_task(f"phase {number + 1}", total=phase.epochs, completed=state.epoch, loss="")
            while state.epoch < phase.epochs and state.epoch - state.best_epoch < self.training.patience:
                train_loss = self.train_epoch(forward, optimiser, phase)
                validation_loss = self._validate()
                state.finish_epoch(phase.learning_rate, train_loss, validation_loss, self.network)
                self._save(optimiser)
                progress.update(task, completed=state.epoch, loss=f"validation loss {validation_loss:.4f}")
        self.network.load_state_dict(state.best)

    def optimiser(self, phase: Phase) -> torch.optim.Optimizer:
        """Return the optimiser of a phase; the parameters that it does not train need no gradients any more."""
        return _OPTIMISERS[self.training.optimiser](
            set_trainable(self.network, phase),
            lr=phase.learning_rate,
            weight_decay=self.training.weight_decay,
            fused=True if self.device.type == "cuda" else None,
        )

    def forward(self, phase: Phase) -> Any:
        """Return the network as a phase calls it: compiled, on several devices, or as a CUDA graph."""
        network = distributed.wrap_ddp(self.network, self.device)
        if self.training.compile:
            return torch.compile(network)
        if self.device.type == "cuda" and distributed.world_size() == 1:
            set_train_mode(self.network, phase)
            return GraphedNetwork(network, self._autocast(cache_enabled=False))
        return network

    def train_epoch(self, forward: Any, optimiser: torch.optim.Optimizer, phase: Phase) -> float:
        """Train on each photograph once and return the mean loss."""
        seed = self._epoch_seed()
        torch.manual_seed(seed)
        self.sampler.seed = seed
        mirroring = np.random.default_rng([seed + 1, distributed.rank()])
        set_train_mode(self.network, phase)
        losses: list[Tensor] = []
        sizes: list[int] = []
        for batch in self._timed(self.train_batches):
            optimiser.zero_grad(set_to_none=True)
            sizes.append(_length(batch.inputs))
            mirrored = None
            if self.training.flip and not self.training.cache_activations:
                mirrored = torch.from_numpy(mirroring.random(sizes[-1]) < 0.5)
            with self._autocast():
                loss = self.loss(forward(self.normalise(batch.inputs, mirrored)), batch.classes, batch.stops)
            loss.backward()
            optimiser.step()
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

    def _validate(self) -> float:
        logits = self._validation_logits()
        with torch.inference_mode():
            loss = self.loss(logits, self.validation_data.classes, self.validation_data.stops)
            value = distributed.broadcast(loss)
        self._check(value, "on validation")
        return value

    def _validation_logits(self) -> dict[str, Tensor]:
        """Return the logits of the validation split by target, each of shape (N, C)."""
        self.network.eval()
        with torch.inference_mode():
            parts = [self.network(self.normalise(batch.inputs)) for batch in self._timed(self.validation_batches)]
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

    def _save(self, optimiser: torch.optim.Optimizer) -> None:
        self.state.seconds = self.earlier_seconds + time.perf_counter() - self.start
        if distributed.is_main_process():
            save_checkpoint(self.job.partial, self._identity(), self.state, self.network, optimiser)

    def _resume(self) -> dict[int, Any] | None:
        """Load the checkpoint, if there is one, and return the state of the optimiser."""
        checkpoint = load_checkpoint(self.job.partial, self._identity(), self.network)
        if checkpoint is None:
            return None
        self.state, optimiser_state = checkpoint
        self.earlier_seconds = self.state.seconds
        console.get_console().note(f"Resuming after {len(self.state.history)} epochs.")
        return optimiser_state

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
        frozen = set.intersection(*(frozen_parameters(self.network, phase) for phase in self.training.phases))
        waiting_share = self.waiting_seconds / (time.perf_counter() - self.start)
        result = FitResult(
            facts={"epochs": len(self.state.history), "waiting_share": round(waiting_share, 3)},
            history=self.state.history,
            inputs=self.inputs,
            unreadable=self.unreadable,
            earlier_seconds=self.earlier_seconds,
            trained_parameters=sum(p.numel() for name, p in self.network.named_parameters() if name not in frozen),
        )
        logits = {name: values.cpu().numpy() for name, values in self._validation_logits().items()}
        result.calibrate(logits, self.validation_data.inputs.rows, self.predictor.spec.targets)
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

    def __call__(self, inputs: Mapping[str, Tensor], mirrored: Tensor | None = None) -> dict[str, Tensor]:
        """Return the inputs of the network.

        Args:
            inputs: Inputs by name, each with a leading axis of N photographs.
            mirrored: The photographs whose images are mirrored left to right, shape (N,); None for none of them.
        """
        moved = {name: values.to(self._device, non_blocking=True) for name, values in inputs.items()}
        if mirrored is not None:
            mirrored = mirrored.to(self._device, non_blocking=True)
            moved = {name: _mirror_images(values, mirrored) for name, values in moved.items()}
        return normalised(moved, self._mean, self._std)


def frozen_parameters(network: nn.Module, phase: Phase) -> set[str]:
    """Return the names of the parameters that a phase does not train."""
    names = [name for name, _ in network.named_parameters()]
    backbone = [name for name in names if name.startswith("backbone.")]
    first = backbone[: round(phase.freeze_fraction * len(backbone))]
    return {*first, *(name for name in names if name.startswith(tuple(phase.freeze)))}


def set_trainable(network: nn.Module, phase: Phase) -> list[nn.Parameter]:
    """Enable gradients for all parameters but the frozen ones, and return the former."""
    frozen = frozen_parameters(network, phase)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def set_train_mode(network: nn.Module, phase: Phase) -> None:
    """Put a network into training mode, except frozen normalisation layers, which keep their statistics."""
    network.train()
    frozen = frozen_parameters(network, phase)
    for name, module in network.named_modules():
        own = [f"{name}.{parameter}" for parameter, _ in module.named_parameters(recurse=False)]
        if (own and frozen.issuperset(own)) or (name and phase.freeze and name.startswith(tuple(phase.freeze))):
            module.eval()


def _set_memory_format(network: nn.Module, memory_format: torch.memory_format) -> None:
    """Set the memory format of convolutions; their inputs follow."""
    for parameter in network.parameters():
        if parameter.dim() == _IMAGE_AXES:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)


def _length(inputs: Mapping[str, Tensor]) -> int:
    return len(next(iter(inputs.values())))


def _mirror_images(values: Tensor, mirrored: Tensor) -> Tensor:
    """Return images with the selected ones mirrored left to right; other inputs are returned unchanged."""
    if values.dtype != torch.uint8:
        return values
    return torch.where(mirrored.view(-1, *[1] * (values.dim() - 1)), values.flip(-1), values)
