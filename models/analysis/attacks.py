"""Adversarial robustness: accuracy when each pixel may be changed by a few levels.

FGSM (Goodfellow et al., arXiv:1412.6572) takes one step along the sign of the gradient. PGD (Madry et al.,
arXiv:1706.06083) takes ten small steps from a random start.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import Split, label_column
from lightmeter.models.analysis.inputs import get_target, image_tensors
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.data.loader import class_numbers, each_photograph

Attack = Literal["fgsm", "pgd"]

_PGD_STEPS = 10


def attack_split(
    predictor: Predictor,
    dataset: Dataset,
    split: Split,
    target_name: str | None,
    epsilons: Sequence[float],
    limit: int,
) -> dict[str, Any]:
    """Return the accuracy under attack for each perturbation size.

    Args:
        predictor: Predictor of the model under attack.
        dataset: Data set with the photographs.
        split: Split to take photographs from.
        target_name: Target to attack (default: the first).
        epsilons: Perturbation sizes in levels of 255.
        limit: Maximum number of photographs.

    Raises:
        UsageError: The target is multilabel, or the split has no readable photograph with a label.
    """
    target = get_target(predictor, target_name)
    if target.multilabel:
        raise UsageError(f"'{target.name}' has several classes per photograph; attacks need a single-label target.")
    rows = [row for row in dataset.rows(split) if row[label_column(target.name)] is not None][:limit]
    correct: dict[Attack, list[list[bool]]] = {attack: [] for attack in get_args(Attack)}
    photographs = each_photograph(dataset, rows, predictor.preprocess, "attacking")
    for truth, (_, photograph) in zip(class_numbers(rows, target).tolist(), photographs, strict=True):
        if not isinstance(photograph, InvalidPhoto):
            for attack, results in correct.items():
                predicted = attacked_predictions(predictor, photograph, target, truth, epsilons, attack)
                results.append([index == truth for index in predicted])
    if not correct["fgsm"]:
        raise UsageError(f"The {split} split of {dataset.spec.name} has no readable photograph of '{target.name}'.")
    return {
        "target": target.name,
        "split": split,
        "photographs": len(correct["fgsm"]),
        "epsilons": list(epsilons),
        **{attack: np.mean(results, axis=0).tolist() for attack, results in correct.items()},
    }


def attacked_predictions(
    predictor: Predictor, photograph: ModelInput, target: Target, truth: int, epsilons: Sequence[float], attack: Attack
) -> list[int]:
    """Return the predicted class under attack, for each perturbation size.

    Args:
        predictor: Predictor of the model under attack.
        photograph: Preprocessed photograph.
        target: Target under attack.
        truth: Index of the true class.
        epsilons: Perturbation sizes in levels of 255.
        attack: Kind of attack.
    """
    inputs = predictor.tensors(photograph)
    predicted = []
    for epsilon in epsilons:
        images = _perturb(predictor, inputs, (target.name, truth), epsilon, attack)
        with torch.inference_mode(), single_thread():
            predicted.append(int(predictor.network({**inputs, **images})[target.name][0].argmax()))
    return predicted


def _perturb(
    predictor: Predictor, inputs: Mapping[str, Tensor], truth: tuple[str, int], epsilon: float, attack: Attack
) -> dict[str, Tensor]:
    """Return the images with every pixel changed by at most epsilon so that the true class becomes unlikely."""
    settings = predictor.spec.preprocessing
    mean, std = (
        torch.tensor(values, device=predictor.device)[:, None, None] for values in (settings.mean, settings.std)
    )
    radius = epsilon / std
    lowest, highest = -mean / std, (255 - mean) / std
    steps, step = (1, radius) if attack == "fgsm" else (_PGD_STEPS, radius * 2.5 / _PGD_STEPS)
    torch.manual_seed(0)
    clean = image_tensors(predictor, inputs)
    images = dict(clean)
    if attack == "pgd":
        images = {name: image + (2 * torch.rand_like(image) - 1) * radius for name, image in clean.items()}
    target, label = truth[0], torch.tensor([truth[1]], device=predictor.device)
    for _ in range(steps):
        leaves = {name: image.detach().requires_grad_() for name, image in images.items()}
        with single_thread():
            loss = functional.cross_entropy(predictor.network({**inputs, **leaves})[target], label)
            gradients = torch.autograd.grad(loss, list(leaves.values()))
        for (name, image), gradient in zip(leaves.items(), gradients, strict=True):
            moved = image.detach() + step * gradient.sign()
            images[name] = moved.clamp(clean[name] - radius, clean[name] + radius).clamp(lowest, highest)
    return images
