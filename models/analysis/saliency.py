"""Saliency maps: how strongly each pixel influences a prediction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightmeter.errors import UsageError, require_extra

_PATH_STEPS = (32, 64, 128, 256, 512, 1024)  # of integrated gradients, until they are complete
_COMPLETENESS = 0.05  # of the difference between the prediction and that of the baseline, as the paper advises
_BATCH = 4
_NOISE_SAMPLES, _NOISE_DEVIATION = 16, 0.3  # of SmoothGrad, in units of the normalised pixels
_BATCHED_IMAGES = 5  # axes of a stack of patches with a leading batch axis

Maps = dict[str, Tensor]


class Attribution(NamedTuple):
    """Result of a saliency method.

    Attributes:
        maps: Saliency map of each image input.
        facts: What to report about the method, for example the number of steps.
    """

    maps: Maps
    facts: Mapping[str, float] = MappingProxyType({})


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

    def logit(self, images: Sequence[Tensor]) -> float:
        """Return the logit of the class for one version of the images."""
        with torch.inference_mode():
            return float(self.logits(*images)[0, self.label])

    def maps(self, attributions: Sequence[Tensor]) -> Maps:
        """Return the strongest attribution over the colour channels by image input, shape (..., H, W)."""
        named = zip(self.names, attributions, strict=True)
        return {name: values[0].detach().abs().amax(-3) for name, values in named}


def gradient(request: AttributionRequest) -> Attribution:
    """Return the gradient of the logit (Simonyan et al., arXiv:1312.6034)."""
    logit = request.logits(*request.images)[0, request.label]
    return Attribution(request.maps(torch.autograd.grad(logit, request.images)))


def integrated_gradients(request: AttributionRequest) -> Attribution:
    """Return integrated gradients from an image of the mean colour (Sundararajan et al., ICML 2017).

    The number of steps is doubled until the attributions add up to the difference of the logits within 5 %.
    """
    with require_extra("captum", "captum"):
        from captum.attr import IntegratedGradients
    method = IntegratedGradients(request.logits)
    difference = request.logit(request.images) - request.logit([torch.zeros_like(image) for image in request.images])
    for steps in _PATH_STEPS:
        attributions = method.attribute(request.images, target=request.label, n_steps=steps, internal_batch_size=_BATCH)
        total = sum(float(values.detach().sum()) for values in attributions)
        error = abs(total - difference) / max(abs(difference), 1e-6)
        if error <= _COMPLETENESS:
            break
    return Attribution(request.maps(attributions), {"steps": steps, "completeness_error": error})


def smoothgrad(request: AttributionRequest) -> Attribution:
    """Return the mean gradient, with its sign, over noisy versions of the images (Smilkov et al., arXiv:1706.03825)."""
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
        abs=False,
    )
    return Attribution(request.maps(attributions))


def activations(request: AttributionRequest) -> Attribution:
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
    return Attribution(maps)


METHODS: dict[str, Callable[[AttributionRequest], Attribution]] = {
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
