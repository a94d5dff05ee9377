"""Gradient descent, with checkpoints from which an interrupted training goes on as if it had not been."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightmeter import console
from lightmeter.errors import Interrupted, LightmeterError
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training import checkpoint, distributed
from lightmeter.models.training.batches import Batches, Clock
from lightmeter.models.training.checkpoint import TrainerState
from lightmeter.models.training.devices import set_memory_format
from lightmeter.models.training.feature_cache import Inputs, cached_activations, cached_inputs
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.freezing import frozen_parameters, set_train_mode, set_trainable
from lightmeter.models.training.loader import class_numbers, class_sets, stops_of
from lightmeter.models.training.losses import Loss
from lightmeter.models.training.recipe import Network, Phase

Truth = dict[str, dict[str, Tensor]]


class Trainer:
    """One training of one network.

    Args:
        predictor: whose network is trained in place.
        work: data, seed and folder.
        training: the recipe's settings.
    """

    def __init__(self, predictor: Predictor, work: FitJob, training: Network) -> None:
        self.predictor, self.work, self.training = predictor, work, training
        self.network, self.device = predictor.network, predictor.device
        with distributed.main_process_first():
            keep = cached_activations if training.cache_activations else cached_inputs
            self.data = {split: keep(predictor, work.dataset, rows) for split, rows in work.rows.items()}
        self.truth = {split: self._truth(inputs) for split, inputs in self.data.items()}
        self.loss = Loss(
            predictor.spec.targets,
            self.truth["train"]["classes"],
            self.device,
            class_weights=training.class_weights,
            soft_target_std=training.soft_target_std,
        )
        self.clock = Clock()
        self.batches = Batches(training.batch_size, predictor.spec.preprocessing, self.device, self.clock)
        self.state = TrainerState()
        self.begun = time.perf_counter()
        self.earlier_seconds = 0.0

    def run(self) -> FitResult:
        """Train through all phases and leave the best weights in the network."""
        optimiser_state = self._resume() if self.work.resume else None
        if self.training.channels_last:
            set_memory_format(self.network, torch.channels_last)
        try:
            for number in range(self.state.phase, len(self.training.phases)):
                self._phase(number, optimiser_state)
                optimiser_state = None
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"Stopped after {len(self.state.history)} epochs; the same command with --resume goes on from there."
            ) from error
        set_memory_format(
            self.network, torch.contiguous_format
        )  # as it will be when it is loaded: the same sums, the same bits
        return self._fitted()

    def _phase(self, number: int, optimiser_state: dict[str, Any] | None) -> None:
        phase, state = self.training.phases[number], self.state
        if optimiser_state is None:
            state.begin(number)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[self.training.optimiser]
        free = set_trainable(self.network, phase)
        optimiser = kind(free, lr=phase.learning_rate, weight_decay=self.training.weight_decay)
        if optimiser_state is not None:
            optimiser.load_state_dict(optimiser_state)
        network = distributed.wrap_ddp(self.network, self.device)
        forward = torch.compile(network) if self.training.compile else network
        with console.get_console().progress("{task.fields[loss]}") as progress:
            task = progress.add_task(f"phase {number + 1}", total=phase.epochs, completed=state.epoch, loss="")
            while state.epoch < phase.epochs and state.epoch - state.best_epoch < self.training.patience:
                train_loss = self.epoch(forward, optimiser, phase)
                validation_loss = self._validate()
                state.note(phase.learning_rate, train_loss, validation_loss, self.network)
                self._save(optimiser)
                progress.update(task, completed=state.epoch, loss=f"validation loss {validation_loss:.4f}")
        self.network.load_state_dict(state.best)

    def epoch(self, forward: Any, optimiser: torch.optim.Optimizer, phase: Phase) -> float:
        """Go once through the training split and return the mean loss."""
        told = f"{self.work.seed} {self.state.phase} {self.state.epoch}"
        seed = int.from_bytes(hashlib.sha256(told.encode()).digest()[:4], "big")
        torch.manual_seed(seed)
        set_train_mode(self.network, phase)
        losses: list[float] = []
        for places, inputs in self.batches.shuffled(self.data["train"], seed, flip=self._flips):
            begun = time.perf_counter()
            optimiser.zero_grad(set_to_none=True)
            with self._precision():
                loss = self._loss("train", forward(inputs), places)
            losses.append(loss.item())
            self._check(losses[-1], f"step {len(losses)}")
            loss.backward()
            optimiser.step()
            self.clock.worked += time.perf_counter() - begun
        return float(np.mean(losses))

    @property
    def _flips(self) -> bool:
        return self.training.flip and not self.training.cache_activations

    def _check(self, loss: float, where: str) -> None:
        if not np.isfinite(loss):
            raise LightmeterError(
                f"The loss became {loss} in phase {self.state.phase + 1}, epoch {self.state.epoch + 1}, {where}; "
                "try a lower learning rate (--set learning_rate=…)."
            )

    def _validate(self) -> float:
        order = np.arange(len(self.data["validation"]))
        logits = self._logits("validation")
        with torch.inference_mode():
            loss = distributed.broadcast(self._loss("validation", logits, order))
        self._check(loss, "on validation")
        return loss

    def _logits(self, split: str) -> dict[str, Tensor]:
        """Return the network's logits for a whole split, by target."""
        self.network.eval()
        with torch.inference_mode():
            parts = [self.network(inputs) for _, inputs in self.batches.in_order(self.data[split])]
        return {name: torch.cat([part[name] for part in parts]).float() for name in parts[0]}

    def _loss(self, split: str, logits: Mapping[str, Tensor], places: NDArray[np.int64]) -> Tensor:
        where = torch.from_numpy(places)
        chosen = {
            kind: {name: values[where].to(self.device) for name, values in known.items()}
            for kind, known in self.truth[split].items()
        }
        return self.loss(logits, chosen["classes"], chosen["stops"])

    def _truth(self, inputs: Inputs) -> Truth:
        targets = self.predictor.spec.targets
        return {
            "classes": {t.name: _classes(inputs, t) for t in targets},
            "stops": {t.name: torch.from_numpy(stops_of(inputs.rows, t)).float() for t in targets},
        }

    def _precision(self) -> Any:
        possible = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        enabled = possible and self.training.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _save(self, optimiser: torch.optim.Optimizer) -> None:
        self.state.seconds = self.earlier_seconds + time.perf_counter() - self.begun
        if distributed.is_main_process():
            checkpoint.save_checkpoint(self.work.partial, self._fingerprint(), self.state, self.network, optimiser)

    def _resume(self) -> dict[str, Any] | None:
        """Take up the checkpoint, if there is one, and return the optimiser's state."""
        found = checkpoint.load_checkpoint(self.work.partial, self._fingerprint(), self.network)
        if found is None:
            return None
        self.state, optimiser = found
        self.earlier_seconds = self.state.seconds
        console.get_console().note(f"going on after {len(self.state.history)} epochs")
        return optimiser

    def _fingerprint(self) -> str:
        spec = self.predictor.spec
        told = [spec.as_dict()["preprocessing"], spec.architecture, dict(spec.architecture_options), dict(spec.data)]
        told += [self.training.model_dump(mode="json"), self.work.seed, [asdict(target) for target in spec.targets]]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def _fitted(self) -> FitResult:
        never = set.intersection(*(frozen_parameters(self.network, phase) for phase in self.training.phases))
        fitted = FitResult(
            facts={"epochs": len(self.state.history), "waiting_share": round(self.clock.waiting_share, 3)},
            history=self.state.history,
            unreadable=[one for inputs in self.data.values() for one in inputs.unreadable],
            earlier_seconds=self.earlier_seconds,
            trained_parameters=sum(p.numel() for name, p in self.network.named_parameters() if name not in never),
        )
        logits = {name: values.cpu().numpy() for name, values in self._logits("validation").items()}
        fitted.calibrate(logits, self.data["validation"].rows, self.predictor.spec.targets)
        return fitted


def fit_network(predictor: Predictor, work: FitJob, training: Network) -> FitResult:
    """Train a predictor's network in place."""
    return Trainer(predictor, work, training).run()


def _classes(inputs: Inputs, target: Target) -> Tensor:
    if target.multiple:
        return torch.from_numpy(class_sets(inputs.rows, target)).float()
    return torch.from_numpy(class_numbers(inputs.rows, target))
