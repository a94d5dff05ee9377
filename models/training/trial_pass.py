"""One pass of zeros through a recipe, so that what cannot work is found before any photograph is decoded."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightmeter.errors import UsageError
from lightmeter.models.architectures.base import LinearHeads
from lightmeter.models.architectures.trees import Trees
from lightmeter.models.runtime.predictor import Predictor, to_tensors
from lightmeter.models.runtime.preprocess import empty_inputs
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.methods import Boosting, Network, Probe
from lightmeter.models.training.network.losses import Loss
from lightmeter.models.training.network.optimisation import set_train_mode, set_trainable
from lightmeter.models.training.recipe import Recipe

_PHOTOGRAPHS = 2  # batch normalisation needs two
_MAX_REASON_LENGTH = 200


def check_recipe(predictor: Predictor, recipe: Recipe) -> None:
    """Pass zeros forward and backward through a copy of the network as the recipe will.

    Args:
        predictor: Its network is not changed.
        recipe: Recipe of the training.

    Raises:
        UsageError: The network does not suit the preprocessing or the method of the recipe.
    """
    try:
        with _unchanged_random_state(predictor.device):
            network = copy.deepcopy(predictor.network)
            settings = predictor.spec.preprocessing
            inputs = to_tensors(empty_inputs(settings, _PHOTOGRAPHS), settings, predictor.device)
            _CHECKS[type(recipe.training)](network, inputs, predictor.spec.targets, recipe.training)
    except UsageError as error:
        raise UsageError(f"The recipe {recipe.name} cannot work: {error}") from error
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"The recipe {recipe.name} cannot work: a first pass of zeros through the network failed "
            f"({lines[0][:_MAX_REASON_LENGTH].rstrip('.')}); change its preprocessing or architecture with --set."
        ) from error


def _check_probe(network: nn.Module, inputs: Mapping[str, Tensor], targets: tuple[Target, ...], _: Probe) -> None:
    if not hasattr(network, "features") or not isinstance(getattr(network, "heads", None), LinearHeads):
        raise UsageError("method = 'probe' needs an architecture with features and linear heads.")
    with torch.inference_mode():
        _check_logits(network.eval()(inputs), targets)


def _check_network(
    network: nn.Module, inputs: Mapping[str, Tensor], targets: tuple[Target, ...], training: Network
) -> None:
    device = next(iter(inputs.values())).device
    classes, stops = _labels(targets)
    loss = Loss(targets, classes, device, training)
    if training.cache_activations:
        encoder: Any = network
        if not hasattr(network, "encode"):
            raise UsageError("cache_activations needs an architecture with encode; use --set cache_activations=false.")
        with torch.no_grad():
            inputs = encoder.eval().encode(inputs)
    for number, phase in enumerate(training.phases, 1):
        parameters = set_trainable(network, phase)
        if not parameters:
            raise UsageError(f"every part of the network is frozen in phase {number}; free one with --set freeze=…")
        set_train_mode(network, phase)
        logits = network(inputs)
        _check_logits(logits, targets)
        loss(logits, classes, stops).backward()
        if all(parameter.grad is None for parameter in parameters):
            raise UsageError(f"no part of the network that phase {number} trains influences the prediction.")
        network.zero_grad()


def _check_boosting(network: nn.Module, inputs: Mapping[str, Tensor], targets: tuple[Target, ...], _: Boosting) -> None:
    if not isinstance(network, Trees) or "measures" not in inputs:
        raise UsageError("method = 'boosting' needs the architecture 'trees' and preprocessing with measures.")
    _check_logits(network(inputs), targets)


_CHECKS: dict[type, Any] = {Probe: _check_probe, Network: _check_network, Boosting: _check_boosting}


def _labels(targets: tuple[Target, ...]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the first class, or none of several, and zero stops for each photograph."""
    classes = {}
    for target in targets:
        shape = (_PHOTOGRAPHS, len(target.classes)) if target.multilabel else (_PHOTOGRAPHS,)
        classes[target.name] = torch.zeros(shape, dtype=torch.float32 if target.multilabel else torch.int64)
    return classes, {target.name: torch.zeros(_PHOTOGRAPHS) for target in targets}


def _check_logits(logits: Any, targets: tuple[Target, ...]) -> None:
    for target in targets:
        values = logits.get(target.name) if isinstance(logits, Mapping) else None
        expected = (_PHOTOGRAPHS, len(target.classes))
        if not isinstance(values, Tensor) or tuple(values.shape) != expected:
            shape = tuple(values.shape) if isinstance(values, Tensor) else "none"
            raise UsageError(f"the network must return logits of shape {expected} for '{target.name}', not {shape}.")


@contextmanager
def _unchanged_random_state(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
