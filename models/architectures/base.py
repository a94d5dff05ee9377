"""Base class of the networks: features of a photograph, and a head for each target."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

_IMAGE_AXES = 4  # of one image for each photograph; activations have fewer


class Heads(nn.ModuleDict):
    """A linear layer for each target.

    Args:
        features: Number of features.
        classes: Number of classes of each target, by name.
    """

    def __init__(self, features: int, classes: Mapping[str, int]) -> None:
        super().__init__({name: nn.Linear(features, count) for name, count in classes.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits of shape (…, C) by target for features of shape (…, F)."""
        return {name: head(features) for name, head in self.items()}


class LinearHeads(nn.Module):
    """A linear layer for each target, on standardised features.

    Args:
        features: Number of features.
        classes: Number of classes of each target, by name.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, features: int, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.targets = Heads(features, classes)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target for features of shape (N, F)."""
        logits: dict[str, Tensor] = self.targets((features - self.centre) / self.scale)
        return logits


class Network(nn.Module):
    """A network that computes features of a photograph, to which its heads are applied.

    Attributes:
        heads: `Heads` or `LinearHeads`.
    """

    heads: nn.Module

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, shape (N, F)."""
        raise NotImplementedError

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        logits: dict[str, Tensor] = self.heads(self.features(inputs))
        return logits


class PatchNetwork(Network):
    """A network that encodes each patch and the view, and pools the activations into the features of a photograph."""

    def encode_patches(self, images: Tensor) -> Tensor:
        """Return the activations of patches of shape (N · K, 3, S, S)."""
        raise NotImplementedError

    def encode_view(self, images: Tensor) -> Tensor:
        """Return the activations of views of shape (N, 3, V, V)."""
        raise NotImplementedError

    def encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the activations: ``patches`` of shape (N, K, F), ``view`` of shape (N, F), or one of them."""
        encoded = {}
        if "patches" in inputs:
            encoded["patches"] = apply_to_patches(self.encode_patches, inputs["patches"])
        if "view" in inputs:
            encoded["view"] = self.encode_view(inputs["view"])
        return encoded

    def pool(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """Return the mean and the standard deviation over the patches, then the view; shape (N, F).

        A single patch has a deviation of zero.
        """
        parts = []
        if "patches" in encoded:
            patches = encoded["patches"]
            parts += [patches.mean(1), patches.std(1, correction=0)]
        if "view" in encoded:
            parts.append(encoded["view"])
        return torch.cat(parts, 1)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the inputs of the heads, for images or for activations from `encode`; shape (N, F)."""
        images = any(values.dim() >= _IMAGE_AXES for values in inputs.values())
        return self.pool(self.encode(inputs) if images else inputs)


def apply_to_patches(function: Callable[[Tensor], Tensor], patches: Tensor) -> Tensor:
    """Return the outputs of a function of images or features for patches of shape (N, K, …), shape (N, K, F)."""
    outputs: Tensor = function(patches.flatten(0, 1)).unflatten(0, (-1, patches.shape[1]))
    return outputs
