"""Random changes of training images that leave the evidence of a photograph's settings in place.

Flips and shifts move pixels without changing them. Colour and blur are off by default: brightness, contrast and
sharpness are what aperture, shutter speed, ISO and film leave in a photograph, and a model that learns to ignore them
has less to go by.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lightmeter.models.training.methods import Network


class Augmentation:
    """Augments the images of batches; other inputs are returned unchanged.

    Args:
        training: Settings of the recipe.
        seed: Seed of an epoch and process.
    """

    def __init__(self, training: Network, seed: list[int]) -> None:
        self._training, self._random = training, np.random.default_rng(seed)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the inputs of a batch, with uint8 images changed; all images of a photograph change alike."""
        training, count = self._training, len(next(iter(inputs.values())))
        result = dict(inputs)
        if training.cache_activations:
            return result
        images = [name for name, values in inputs.items() if values.dtype == torch.uint8]
        if training.flip:
            flipped = torch.from_numpy(self._random.random(count) < 0.5)
            result |= {name: _flip(result[name], flipped.to(result[name].device)) for name in images}
        if training.crop_pixels:
            offsets = self._random.integers(-training.crop_pixels, training.crop_pixels + 1, (count, 2))
            for name in images:
                result[name] = torch.stack([_shift(*pair) for pair in zip(result[name], offsets.tolist(), strict=True)])
        if training.colour or training.blur:
            factors = self._random.uniform(1 - training.colour, 1 + training.colour, (count, 2))
            sigmas = self._random.uniform(0, training.blur, count)
            for name in images:
                parts = zip(result[name], factors.tolist(), sigmas.tolist(), strict=True)
                result[name] = torch.stack([_recolour(*part) for part in parts])
        return result


def _flip(values: Tensor, flipped: Tensor) -> Tensor:
    """Return images with the selected ones mirrored left to right."""
    return torch.where(flipped.view(-1, *[1] * (values.dim() - 1)), values.flip(-1), values)


def _shift(values: Tensor, offset: list[int]) -> Tensor:
    """Return images (..., height, width) cropped at an offset, with the missing edge filled by reflection."""
    for axis, distance in zip((-2, -1), offset, strict=True):
        length = values.shape[axis]
        indices = (torch.arange(length, device=values.device) + distance).abs()
        reflected = torch.where(indices < length, indices, 2 * (length - 1) - indices).clamp(0, length - 1)
        values = values.index_select(axis, reflected)
    return values


def _recolour(values: Tensor, factors: list[float], sigma: float) -> Tensor:
    """Return images (..., 3, height, width) with other brightness and contrast, blurred by a Gaussian."""
    import cv2

    brightness, contrast = factors
    images = values.reshape(-1, *values.shape[-3:]).permute(0, 2, 3, 1).cpu().numpy()
    changed = []
    for image in images:
        grey = float(image.mean()) * brightness
        recoloured = cv2.convertScaleAbs(image, alpha=brightness * contrast, beta=grey * (1 - contrast))
        changed.append(cv2.GaussianBlur(recoloured, (0, 0), sigma) if sigma else recoloured)
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).reshape(values.shape).to(values.device)
