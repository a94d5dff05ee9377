"""Where in a picture a network found its answer: maps of gradients and of activations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightmeter.errors import UsageError
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.extras import require

_STEPS, _AT_ONCE = 32, 4  # of the path of integrated gradients
_SAMPLES, _NOISE = 16, 0.3  # of SmoothGrad: how many, and their noise in units of the scaled pixels
_MAP_AXES = 4

Pictures = dict[str, Tensor]


class AttributionRequest:
    """One answer that is looked into.

    Args:
        predictor: whose network gave it.
        inputs: of one photograph, with a leading axis of one.
        names: of the inputs that are pictures.
        target: of the answer.
        answer: index of the class.
    """

    def __init__(
        self, predictor: Predictor, inputs: Mapping[str, Tensor], names: Sequence[str], target: str, answer: int
    ) -> None:
        self.network, self.inputs, self.names = predictor.network, inputs, names
        self.target, self.answer = target, answer
        self.pictures = tuple(inputs[name].detach().requires_grad_() for name in names)

    def logits(self, *pictures: Tensor) -> Tensor:
        """Return logits of shape (N, C) for N versions of the pictures; what is no picture stays as it is."""
        rest = {name: values.expand(len(pictures[0]), *values.shape[1:]) for name, values in self.inputs.items()}
        found: Tensor = self.network({**rest, **dict(zip(self.names, pictures, strict=True))})[self.target]
        return found


def gradient(asked: AttributionRequest) -> Pictures:
    """Return how strongly each pixel moves the logit (K. Simonyan et al., arXiv:1312.6034)."""
    logit = asked.logits(*asked.pictures)[0, asked.answer]
    return _strengths(asked, torch.autograd.grad(logit, asked.pictures))


def integrated(asked: AttributionRequest) -> Pictures:
    """Return gradients along the way from a picture of the mean colour (M. Sundararajan et al., ICML 2017)."""
    with require("captum", "captum"):
        from captum.attr import IntegratedGradients
    found = IntegratedGradients(asked.logits).attribute(
        asked.pictures, target=asked.answer, n_steps=_STEPS, internal_batch_size=_AT_ONCE
    )
    return _strengths(asked, found)


def smooth(asked: AttributionRequest) -> Pictures:
    """Return the mean gradient over noisy versions of the picture (D. Smilkov et al., arXiv:1706.03825)."""
    with require("captum", "captum"):
        from captum.attr import NoiseTunnel, Saliency
    torch.manual_seed(0)
    found = NoiseTunnel(Saliency(asked.logits)).attribute(
        asked.pictures, target=asked.answer, nt_type="smoothgrad", nt_samples=_SAMPLES,
        nt_samples_batch_size=_AT_ONCE, stdevs=_NOISE,
    )  # fmt: skip
    return _strengths(asked, found)


def activations(asked: AttributionRequest) -> Pictures:
    """Return how strongly the last convolution answers at each place, the mean over its channels.

    Raises:
        UsageError: if the network has no convolutions.
    """
    with _last_maps(asked.network) as seen, torch.inference_mode():
        asked.logits(*asked.pictures)
    found = {}
    for name, picture in zip(asked.names, asked.pictures, strict=True):
        count = picture.shape[1] if picture.dim() > _MAP_AXES else 1
        if count not in seen or len(asked.names) > len(seen):
            raise UsageError("This network has no maps of activations that belong to one picture each.")
        maps = seen[count].clamp(min=0).mean(1, keepdim=True)
        large = functional.interpolate(maps, size=picture.shape[-2:], mode="bilinear")[:, 0]
        found[name] = large if picture.dim() > _MAP_AXES else large[0]
    return found


MAPS: dict[str, Callable[[AttributionRequest], Pictures]] = {
    "gradient": gradient,
    "integrated": integrated,
    "smooth": smooth,
    "activations": activations,
}
"""Kinds of maps, by the name that ``models explain`` takes."""


@contextmanager
def _last_maps(network: nn.Module) -> Iterator[dict[int, Tensor]]:
    """Yield the last maps of shape (M, C, H, W) that pass through a network in the block, by the number of pictures."""
    seen: dict[int, Tensor] = {}

    def look(_module: nn.Module, _given: Any, answer: Any) -> None:
        if isinstance(answer, Tensor) and answer.dim() == _MAP_AXES and answer.shape[-1] > 1:
            seen[len(answer)] = answer

    hooks = [module.register_forward_hook(look) for module in network.modules() if not list(module.children())]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _strengths(asked: AttributionRequest, found: Sequence[Tensor]) -> Pictures:
    """Return the strongest of each pixel's three colours, shape (..., H, W)."""
    return {name: values[0].detach().abs().amax(-3) for name, values in zip(asked.names, found, strict=True)}
