"""Base class of the networks: features of a photograph, and a head for each target."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


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


def apply_to_patches(function: Callable[[Tensor], Tensor], patches: Tensor) -> Tensor:
    """Return the outputs of a function of images or features for patches of shape (N, K, …), shape (N, K, F)."""
    outputs: Tensor = function(patches.flatten(0, 1)).unflatten(0, (-1, patches.shape[1]))
    return outputs


def pooled_features(
    inputs: Mapping[str, Tensor],
    patch_features: Callable[[Tensor], Tensor],
    view_features: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return the mean and the standard deviation over the patches, then the features of the view; shape (N, F).

    A single patch has a deviation of zero.

    Args:
        inputs: Inputs of the network: ``patches``, ``view`` or both.
        patch_features: Maps patches of shape (N · K, 3, S, S) to features.
        view_features: Maps views of shape (N, 3, V, V) to features.
    """
    parts = []
    if "patches" in inputs:
        features = apply_to_patches(patch_features, inputs["patches"])
        parts += [features.mean(1), features.std(1, correction=0)]
    if "view" in inputs:
        parts.append(view_features(inputs["view"]))
    return torch.cat(parts, 1)
