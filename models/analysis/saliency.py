"""Saliency maps: how strongly each pixel influences a prediction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightmeter.errors import UsageError, require_extra

_PATH_STEPS, _BATCH = 32, 4  # of integrated gradients
_NOISE_SAMPLES, _NOISE_DEVIATION = 16, 0.3  # of SmoothGrad, in units of the normalised pixels
_BATCHED_IMAGES = 5  # axes of a stack of patches with a leading batch axis

Maps = dict[str, Tensor]


class AttributionRequest:
    """A prediction to attribute to pixels.

    Args:
        network: Network of the model.
        inputs: All inputs of one photograph, each with a leading axis of one.
        images: The inputs that are images.
        target: Name of the target.
        label: Index of the class.
    """

    def __init__(
        self, network: nn.Module, inputs: Mapping[str, Tensor], images: Mapping[str, Tensor], target: str, label: int
    ) -> None:
        self.network, self.inputs, self.names = network, inputs, list(images)
        self.target, self.label = target, label
        self.images = tuple(image.detach().requires_grad_() for image in images.values())

    def logits(self, *images: Tensor) -> Tensor:
        """Return logits of shape (N, C) for N versions of the images; the other inputs stay as they are."""
        inputs = {name: values.expand(len(images[0]), *values.shape[1:]) for name, values in self.inputs.items()}
        logits: Tensor = self.network({**inputs, **dict(zip(self.names, images, strict=True))})[self.target]
        return logits

    def maps(self, attributions: Sequence[Tensor]) -> Maps:
        """Return the strongest attribution over the colour channels by image input, shape (..., H, W)."""
        named = zip(self.names, attributions, strict=True)
        return {name: values[0].detach().abs().amax(-3) for name, values in named}


def gradient(request: AttributionRequest) -> Maps:
    """Return the gradient of the logit (Simonyan et al., arXiv:1312.6034)."""
    logit = request.logits(*request.images)[0, request.label]
    return request.maps(torch.autograd.grad(logit, request.images))


def integrated_gradients(request: AttributionRequest) -> Maps:
    """Return integrated gradients from an image of the mean colour (Sundararajan et al., ICML 2017)."""
    with require_extra("captum", "captum"):
        from captum.attr import IntegratedGradients
    method = IntegratedGradients(request.logits)
    return request.maps(
        method.attribute(request.images, target=request.label, n_steps=_PATH_STEPS, internal_batch_size=_BATCH)
    )


def smoothgrad(request: AttributionRequest) -> Maps:
    """Return the mean gradient over noisy versions of the images (Smilkov et al., arXiv:1706.03825)."""
    with require_extra("captum", "captum"):
        from captum.attr import NoiseTunnel, Saliency
    torch.manual_seed(0)
    attributions = NoiseTunnel(Saliency(request.logits)).attribute(
        request.images,
        target=request.label,
        nt_type="smoothgrad",
        nt_samples=_NOISE_SAMPLES,
        nt_samples_batch_size=_BATCH,
        stdevs=_NOISE_DEVIATION,
    )
    return request.maps(attributions)


def activations(request: AttributionRequest) -> Maps:
    """Return the activation map of the last convolution, the mean over its channels.

    Raises:
        UsageError: The network has no convolution whose activations belong to one image each.
    """
    with _last_feature_maps(request.network) as feature_maps, torch.inference_mode():
        request.logits(*request.images)
    maps = {}
    for name, image in zip(request.names, request.images, strict=True):
        stacked = image.dim() == _BATCHED_IMAGES
        count = image.shape[1] if stacked else 1
        if count not in feature_maps or len(request.names) > len(feature_maps):
            raise UsageError("The method 'activations' does not fit this network: no feature maps of single images.")
        mean = feature_maps[count].clamp(min=0).mean(1, keepdim=True)
        resized = functional.interpolate(mean, size=image.shape[-2:], mode="bilinear")[:, 0]
        maps[name] = resized if stacked else resized[0]
    return maps


METHODS: dict[str, Callable[[AttributionRequest], Maps]] = {
    "gradient": gradient,
    "integrated-gradients": integrated_gradients,
    "smoothgrad": smoothgrad,
    "activations": activations,
}
"""Saliency methods, by the name that ``models explain --method`` takes."""


@contextmanager
def _last_feature_maps(network: nn.Module) -> Iterator[dict[int, Tensor]]:
    """Yield the last feature maps of shape (M, C, H, W) of forward passes in the block, by the number M of images."""
    feature_maps: dict[int, Tensor] = {}

    def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[-1] > 1:
            feature_maps[len(output)] = output

    hooks = [module.register_forward_hook(record) for module in network.modules() if not list(module.children())]
    try:
        yield feature_maps
    finally:
        for hook in hooks:
            hook.remove()
