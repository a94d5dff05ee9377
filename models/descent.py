"""Gradient descent, with checkpoints from which an interrupted training goes on as if it had not been."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightmeter import console
from lightmeter.errors import Interrupted, LightmeterError, UsageError
from lightmeter.files import atomic_path
from models import distributed
from models.cache import Inputs, cut_once
from models.data import class_numbers, class_sets, stops_of
from models.fitted import Fitted, Work
from models.losses import Loss
from models.predictor import Predictor, to_tensors
from models.recipe import Network, Phase
from models.spec import Target

CHECKPOINT_FILE = "checkpoint.pt"

Truth = dict[str, dict[str, Tensor]]


@dataclass
class State:
    """How far training has come; all of it stands in the checkpoint.

    Attributes:
        phase: number of the phase under way.
        epoch: epochs of it that are done.
        best_loss: least validation loss of the phase.
        best: the weights that gave it.
        history: a row an epoch.
    """

    phase: int = 0
    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class Descent:
    """One training of one network.

    Args:
        predictor: whose network is trained in place.
        work: data, seed and folder.
        training: the recipe's settings.
    """

    def __init__(self, predictor: Predictor, work: Work, training: Network) -> None:
        self.predictor, self.work, self.training = predictor, work, training
        self.network, self.device = predictor.network, predictor.device
        with distributed.first_goes_ahead():
            self.data = {split: cut_once(predictor, work.dataset, rows) for split, rows in work.rows.items()}
        self.truth = {split: self._truth(inputs) for split, inputs in self.data.items()}
        self.loss = Loss(
            predictor.spec.targets,
            self.truth["train"]["classes"],
            self.device,
            class_weights=training.class_weights,
            softness=training.softness,
        )
        self.state = State()
        self.waited = self.worked = 0.0

    def run(self) -> Fitted:
        """Train through all phases and leave the best weights in the network."""
        optimiser_state = self._resume() if self.work.resume else None
        try:
            for number in range(self.state.phase, len(self.training.phases)):
                self._phase(number, optimiser_state)
                optimiser_state = None
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"Stopped after {len(self.state.history)} epochs; the same command with --resume goes on from there."
            ) from error
        return self._fitted()

    def _phase(self, number: int, optimiser_state: dict[str, Any] | None) -> None:
        phase = self.training.phases[number]
        if optimiser_state is None:
            self.state.phase, self.state.epoch, self.state.best_loss, self.state.best_epoch = number, 0, float("inf"), 0
        parameters = _thaw(self.network, phase.freeze)
        optimiser = torch.optim.AdamW(parameters, lr=phase.learning_rate, weight_decay=self.training.weight_decay)
        if optimiser_state is not None:
            optimiser.load_state_dict(optimiser_state)
        network = distributed.shared(self.network, self.device)
        forward = torch.compile(network) if self.training.compile else network
        with console.current().progress("{task.fields[loss]}") as progress:
            task = progress.add_task(f"phase {number + 1}", total=phase.epochs, completed=self.state.epoch, loss="")
            while self.state.epoch < phase.epochs and not self._out_of_patience():
                train_loss = self._epoch(forward, optimiser, phase)
                validation_loss = self._validate()
                self._note(phase, train_loss, validation_loss)
                self._save(optimiser)
                progress.update(task, completed=self.state.epoch, loss=f"validation loss {validation_loss:.4f}")
        self.network.load_state_dict(self.state.best)

    def _epoch(self, forward: Any, optimiser: torch.optim.Optimizer, phase: Phase) -> float:
        """Go once through the training split and return the mean loss."""
        seed = int.from_bytes(
            hashlib.sha256(f"{self.work.seed} {self.state.phase} {self.state.epoch}".encode()).digest()[:4], "big"
        )
        torch.manual_seed(seed)
        order = np.random.default_rng(seed).permutation(len(self.data["train"]))
        _train_mode(self.network, phase.freeze)
        losses: list[float] = []
        for places, inputs in self._batches("train", order, flip=np.random.default_rng(seed + 1)):
            begun = time.perf_counter()
            optimiser.zero_grad(set_to_none=True)
            with self._precision():
                loss = self._loss("train", forward(inputs), places)
            value = loss.item()
            if not np.isfinite(value):
                raise LightmeterError(
                    f"The loss became {value} in phase {self.state.phase + 1}, epoch {self.state.epoch + 1}, step "
                    f"{len(losses) + 1}; try a lower learning rate (--set learning_rate=…)."
                )
            loss.backward()
            optimiser.step()
            losses.append(value)
            self.worked += time.perf_counter() - begun
        return float(np.mean(losses))

    def _validate(self) -> float:
        order = np.arange(len(self.data["validation"]))
        logits = self._logits("validation")
        with torch.inference_mode():
            return float(self._loss("validation", logits, order))

    def _logits(self, split: str) -> dict[str, Tensor]:
        """Return the network's logits for a whole split, by target."""
        self.network.eval()
        parts: list[dict[str, Tensor]] = []
        order = np.arange(len(self.data[split]))
        with torch.inference_mode():
            parts += [self.network(inputs) for _, inputs in self._batches(split, order)]
        return {name: torch.cat([part[name] for part in parts]).float() for name in parts[0]}

    def _batches(
        self, split: str, order: NDArray[np.int64], flip: np.random.Generator | None = None
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, Tensor]]]:
        """Yield places and inputs of each batch; the next one is read while this one is worked on."""
        size = self.training.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        if flip is not None:  # training: each process takes its share of every batch
            batches = [
                batch[distributed.rank() :: distributed.world()]
                for batch in batches
                if len(batch) >= distributed.world()
            ]
        with ThreadPoolExecutor(1) as reader:
            coming = [reader.submit(self.data[split].take, batch) for batch in batches[:1]]
            for number, batch in enumerate(batches):
                begun = time.perf_counter()
                taken = coming.pop().result()
                self.waited += time.perf_counter() - begun
                coming += [reader.submit(self.data[split].take, after) for after in batches[number + 1 : number + 2]]
                if flip is not None and self.training.flip and flip.random() < 0.5:
                    taken = {name: _mirrored(values) for name, values in taken.items()}
                yield batch, to_tensors(taken, self.predictor.spec.preprocessing, self.device)

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

    def _out_of_patience(self) -> bool:
        return self.state.epoch - self.state.best_epoch >= self.training.patience

    def _note(self, phase: Phase, train_loss: float, validation_loss: float) -> None:
        state = self.state
        state.epoch += 1
        state.history.append(
            {
                "phase": state.phase + 1,
                "epoch": state.epoch,
                "learning_rate": phase.learning_rate,
                "train_loss": train_loss,
                "validation_loss": validation_loss,
            }
        )
        if validation_loss < state.best_loss:
            state.best_loss, state.best_epoch = validation_loss, state.epoch
            state.best = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}

    def _save(self, optimiser: torch.optim.Optimizer) -> None:
        if not distributed.first():
            return
        content = {
            "fingerprint": self._fingerprint(),
            "state": vars(self.state),
            "network": self.network.state_dict(),
            "optimiser": optimiser.state_dict(),
        }
        with atomic_path(self.work.partial / CHECKPOINT_FILE) as temporary:
            torch.save(content, temporary)

    def _resume(self) -> dict[str, Any] | None:
        """Take up the checkpoint, if there is one, and return the optimiser's state."""
        file = self.work.partial / CHECKPOINT_FILE
        if not file.is_file():
            return None
        content = _read_checkpoint(file)
        if content["fingerprint"] != self._fingerprint():
            raise UsageError(
                f"The checkpoint in {self.work.partial} is of another recipe, data set or seed; train without --resume."
            )
        self.state = State(**content["state"])
        self.network.load_state_dict(content["network"])
        console.current().note(f"going on after {len(self.state.history)} epochs")
        optimiser: dict[str, Any] = content["optimiser"]
        return optimiser

    def _fingerprint(self) -> str:
        spec = self.predictor.spec
        told = [spec.as_dict()["preprocessing"], spec.architecture, dict(spec.architecture_options), dict(spec.data)]
        told += [self.training.model_dump(mode="json"), self.work.seed, [asdict(target) for target in spec.targets]]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def _fitted(self) -> Fitted:
        whole = self.waited + self.worked
        parameters = {name: p for phase in self.training.phases for name, p in _free(self.network, phase.freeze)}
        fitted = Fitted(
            facts={"epochs": len(self.state.history), "waiting_share": round(self.waited / max(whole, 1e-9), 3)},
            history=self.state.history,
            unreadable=[one for inputs in self.data.values() for one in inputs.unreadable],
            trained_parameters=sum(parameter.numel() for parameter in parameters.values()),
        )
        logits = {name: values.cpu().numpy() for name, values in self._logits("validation").items()}
        fitted.calibrate(logits, self.data["validation"].rows, self.predictor.spec.targets)
        return fitted


def fit_network(predictor: Predictor, work: Work, training: Network) -> Fitted:
    """Train a predictor's network in place."""
    return Descent(predictor, work, training).run()


def _read_checkpoint(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"The checkpoint {file} cannot be read; train without --resume.") from error
    return content


def _classes(inputs: Inputs, target: Target) -> Tensor:
    if target.multiple:
        return torch.from_numpy(class_sets(inputs.rows, target)).float()
    return torch.from_numpy(class_numbers(inputs.rows, target))


def _free(network: nn.Module, freeze: Sequence[str]) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in network.named_parameters() if not name.startswith(tuple(freeze))]


def _thaw(network: nn.Module, freeze: Sequence[str]) -> list[nn.Parameter]:
    """Let all parameters be trained but the frozen ones, and return the former."""
    network.requires_grad_(requires_grad=False)
    free = [parameter for _, parameter in _free(network, freeze)]
    for parameter in free:
        parameter.requires_grad_()
    return free


def _train_mode(network: nn.Module, freeze: Sequence[str]) -> None:
    """Put a network into training mode, but let the statistics of frozen normalisation layers be."""
    network.train()
    for name, module in network.named_modules():
        if freeze and name and name.startswith(tuple(freeze)):
            module.eval()


def _mirrored(values: NDArray[Any]) -> NDArray[Any]:
    """Return pictures mirrored left to right; what is no picture stays as it is."""
    return np.ascontiguousarray(values[..., ::-1]) if values.dtype == np.uint8 else values
