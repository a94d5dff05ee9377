"""Contribution of each patch to a prediction. Runs inside an archive."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ...models.architectures.base import PatchNetwork
from ...models.runtime.engines.pytorch import single_thread
from ...models.runtime.predictor import Predictor, calibrated, stack
from ...models.runtime.preprocess import InvalidPhoto, ModelInput, patch_positions
from ...models.runtime.spec import Target

_MAX_PATCHES = 64
_UNPROCESSABLE = 422


def explain(predictor: Predictor, photo: ModelInput, classes: Mapping[str, str]) -> dict[str, Any]:
    """Return the box of each patch and its contribution to the probability of the predicted class.

    The contribution of a patch is the probability with all patches less the probability without it (leave-one-out;
    the occlusion of Zeiler and Fergus 2014, without painting anything over). ``alone`` is the probability from the
    patch by itself. The model's other inputs (EXIF tags, measurements) stay unchanged.

    Args:
        predictor: The model.
        photo: The preprocessed photograph.
        classes: The predicted class of each target.

    Returns:
        ``width`` and ``height`` of the stored image, and ``patches``, each with ``box`` (in stored pixels),
        ``contribution`` and ``alone`` (both by target).

    Raises:
        InvalidPhoto: The model uses no patches at fixed positions, or too many of them (status 422).
    """
    settings = predictor.spec.preprocessing
    if "patches" not in photo.inputs or settings.patch_selection != "uniform":
        raise InvalidPhoto(_UNPROCESSABLE, "This model does not use patches spread over the photograph.")
    patches = photo.inputs["patches"]
    if len(patches) > _MAX_PATCHES:
        raise InvalidPhoto(
            _UNPROCESSABLE, f"This model uses {len(patches)} patches; explanations support at most {_MAX_PATCHES}."
        )

    size, count = settings.patch_size, len(patches)
    positions = patch_positions(max(photo.width, size), max(photo.height, size), count, size)
    everything = list(range(count))
    without = [everything[:index] + everything[index + 1 :] for index in everything]
    subsets = [everything, *without, *([index] for index in everything)]
    total, *others = _probabilities(predictor, photo, subsets, classes)
    explained = [
        {
            "box": {"x": x, "y": y, "width": size, "height": size},
            "contribution": {target: total[target] - rest[target] for target in total},
            "alone": alone,
        }
        for (x, y), rest, alone in zip(positions, others[:count], others[count:], strict=True)
    ]
    return {"width": photo.width, "height": photo.height, "patches": explained}


def _probabilities(
    predictor: Predictor, photo: ModelInput, subsets: Sequence[list[int]], classes: Mapping[str, str]
) -> list[dict[str, float]]:
    """Return the probability of each class for subsets of the patches; zero for an empty one."""
    logits_of = _pooled_logits(predictor, photo) or partial(_logits, predictor, photo)
    probabilities = []
    for subset in subsets:
        logits = logits_of(subset) if subset else None
        probabilities.append(
            {
                target.name: _probability(target, logits[target.name], classes[target.name]) if logits else 0.0
                for target in predictor.spec.targets
                if target.name in classes
            }
        )
    return probabilities


def _pooled_logits(predictor: Predictor, photo: ModelInput) -> Callable[[list[int]], dict[str, Any]] | None:
    """Return a function from a subset to its logits that encodes the photograph once; None if the network cannot."""
    network = predictor.network
    if not isinstance(network, PatchNetwork):
        return None
    with torch.inference_mode(), single_thread():
        encoded = network.encode(predictor.tensors(photo))

    def logits(subset: list[int]) -> dict[str, Any]:
        with torch.inference_mode(), single_thread():
            pooled = network.pool({**encoded, "patches": encoded["patches"][:, subset]})
            return {name: values[0].float().cpu().numpy() for name, values in network.heads(pooled).items()}

    return logits


def _logits(predictor: Predictor, photo: ModelInput, subset: list[int]) -> dict[str, Any]:
    fewer = replace(photo, inputs={**photo.inputs, "patches": photo.inputs["patches"][subset]})
    (logits,) = predictor.outputs("logits", stack([fewer]))
    if isinstance(logits, InvalidPhoto):
        raise logits
    return logits


def _probability(target: Target, logits: Any, label: str) -> float:
    values = calibrated(logits, target.temperature, multilabel=target.multilabel)
    return float(values[target.classes.index(label)])
