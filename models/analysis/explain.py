"""Look into a model: which patches counted, how little must change to fool it, what it finds alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lightmeter.errors import UsageError
from lightmeter.models.analysis.saliency import MAPS, AttributionRequest
from lightmeter.models.runtime.predictor import Predictor, single_thread
from lightmeter.models.runtime.preprocess import ModelInput
from lightmeter.plugins import unknown_name_message

Attack = Literal["fgsm", "pgd"]
PICTURES = ("patches", "view")
_STEPS = 10


@dataclass(frozen=True)
class Explanation:
    """What counted for an answer.

    Attributes:
        label: the answer.
        shares: of each patch, by how much the answer's logit falls if the patch is made grey; shape (K,).
        maps: how strongly each pixel counts, by input; shape (..., H, W), at most 1.
    """

    label: str
    shares: NDArray[np.float64]
    maps: dict[str, NDArray[np.float32]]


def explain(predictor: Predictor, photograph: ModelInput, target: str, kind: str = "gradient") -> Explanation:
    """Say which patches and which pixels counted for a target's answer.

    Patches are judged by occlusion (M. D. Zeiler and R. Fergus, ECCV 2014), pixels by one of `MAPS`.

    Raises:
        UsageError: if the model sees no pictures, or has no such target.
    """
    inputs, names = _pictures(predictor, photograph)
    classes = _classes(predictor, target)
    if kind not in MAPS:
        raise UsageError(unknown_name_message("kind of map", kind, list(MAPS)))
    with single_thread():
        with torch.inference_mode():
            logits = predictor.network(inputs)[target][0]
        answer = int(logits.argmax())
        found = MAPS[kind](AttributionRequest(predictor, inputs, names, target, answer))
        falls = _occluded(predictor, inputs, target, answer, float(logits[answer]))
    maps = {name: (values / values.max().clamp(min=1e-12)).cpu().numpy() for name, values in found.items()}
    return Explanation(classes[answer], falls, maps)


def attacked(
    predictor: Predictor, photograph: ModelInput, target: str, truth: int, levels: Sequence[float], attack: Attack
) -> Iterator[int]:
    """Yield what is answered when every pixel may be changed by so many levels of 255 to mislead the model.

    Args:
        predictor: of the model under attack.
        photograph: to be changed.
        target: that is attacked.
        truth: index of its true class.
        levels: greatest change of a pixel, each.
        attack: ``fgsm``, one step along the gradient's sign (I. Goodfellow et al., arXiv:1412.6572), or ``pgd``, ten
            small ones from a random start (A. Madry et al., arXiv:1706.06083).
    """
    inputs, names = _pictures(predictor, photograph)
    clean = {name: inputs[name] for name in names}
    for level in levels:
        changed = _misled(predictor, inputs, clean, (target, truth), level, attack)
        with torch.inference_mode(), single_thread():
            yield int(predictor.network({**inputs, **changed})[target][0].argmax())


def embedding(predictor: Predictor, photograph: ModelInput) -> NDArray[np.float32]:
    """Return what the heads see of a photograph, shape (F,), of length one.

    Raises:
        UsageError: if the model has no layer before its heads.
    """
    heads = [module for name, module in predictor.network.named_modules() if _is_head(name, module)]
    if not heads:
        raise UsageError(f"The model {predictor.spec.name} has no layer to compare photographs by.")
    seen: list[Tensor] = []
    hook = heads[0].register_forward_hook(lambda _module, given, _answer: seen.append(given[0]))
    try:
        predictor.logits(photograph)
    finally:
        hook.remove()
    return functional.normalize(seen[0].flatten(0, -2).mean(0), dim=0).cpu().numpy()


def _is_head(name: str, module: nn.Module) -> bool:
    return name.startswith("heads.") and isinstance(module, nn.Linear)


def _pictures(predictor: Predictor, photograph: ModelInput) -> tuple[dict[str, Tensor], list[str]]:
    inputs = predictor.tensors(photograph)
    names = [name for name in PICTURES if name in inputs]
    if not names:
        raise UsageError(f"The model {predictor.spec.name} looks at no picture, only at measures or tags.")
    return inputs, names


def _classes(predictor: Predictor, target: str) -> tuple[str, ...]:
    for one in predictor.spec.targets:
        if one.name == target:
            return one.classes
    have = ", ".join(predictor.spec.classes)
    raise UsageError(f"The model {predictor.spec.name} has no target '{target}'; it has: {have}.")


def _occluded(
    predictor: Predictor, inputs: dict[str, Tensor], target: str, answer: int, whole: float
) -> NDArray[np.float64]:
    if "patches" not in inputs:
        return np.empty(0)
    falls = []
    with torch.inference_mode():
        for number in range(inputs["patches"].shape[1]):
            patches = inputs["patches"].clone()
            patches[:, number] = patches[:, number].mean((2, 3), keepdim=True)
            falls.append(whole - float(predictor.network({**inputs, "patches": patches})[target][0, answer]))
    return np.asarray(falls)


def _misled(
    predictor: Predictor,
    inputs: dict[str, Tensor],
    clean: dict[str, Tensor],
    truth: tuple[str, int],
    level: float,
    attack: Attack,
) -> dict[str, Tensor]:
    """Return pictures changed by at most a level so that the truth becomes unlikely."""
    settings = predictor.spec.preprocessing
    std = torch.tensor(settings.std, device=predictor.device)[:, None, None]
    mean = torch.tensor(settings.mean, device=predictor.device)[:, None, None]
    most = level / std
    lowest, highest = -mean / std, (255 - mean) / std
    steps, step = (1, most) if attack == "fgsm" else (_STEPS, most * 2.5 / _STEPS)
    torch.manual_seed(0)
    changed = dict(clean)
    if attack == "pgd":
        changed = {name: x + (2 * torch.rand_like(x) - 1) * most for name, x in clean.items()}
    answer = torch.tensor([truth[1]], device=predictor.device)
    for _ in range(steps):
        free = {name: x.detach().requires_grad_() for name, x in changed.items()}
        with single_thread():
            loss = functional.cross_entropy(predictor.network({**inputs, **free})[truth[0]], answer)
            gradients = torch.autograd.grad(loss, list(free.values()))
        for (name, x), gradient in zip(free.items(), gradients, strict=True):
            moved = x.detach() + step * gradient.sign()
            near = torch.minimum(torch.maximum(moved, clean[name] - most), clean[name] + most)
            changed[name] = torch.minimum(torch.maximum(near, lowest), highest)
    return changed


def target_of(predictor: Predictor, name: str | None) -> Any:
    """Return the target that a person means; without a name the only one or the first.

    Raises:
        UsageError: if the model has no such target.
    """
    chosen = name or predictor.spec.targets[0].name
    _classes(predictor, chosen)
    return next(target for target in predictor.spec.targets if target.name == chosen)
