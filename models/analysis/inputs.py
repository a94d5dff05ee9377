"""Inputs of an analysis: the photograph, the model's images and the target."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput
from lightmeter.models.runtime.spec import Target
from lightmeter.plugins import unknown_name_message

IMAGE_INPUTS = ("patches", "view")


def read_photograph(predictor: Predictor, file: Path) -> ModelInput:
    """Read and preprocess a file.

    Raises:
        LightmeterError: The file does not exist or is not a usable photograph.
    """
    try:
        return predictor.preprocess(file)
    except InvalidPhoto as error:
        raise LightmeterError(f"{file}: {error.reason}") from error


def image_tensors(predictor: Predictor, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the images among the tensors of a photograph.

    Raises:
        UsageError: The model uses no images.
    """
    images = {name: inputs[name] for name in IMAGE_INPUTS if name in inputs}
    if not images:
        raise UsageError(f"The model {predictor.spec.name} uses no images, only image statistics or EXIF tags.")
    return images


def get_target(predictor: Predictor, name: str | None) -> Target:
    """Return a target of the model by its name (default: the first).

    Raises:
        UsageError: The model has no such target.
    """
    targets = {target.name: target for target in predictor.spec.targets}
    if name is None:
        return predictor.spec.targets[0]
    if name not in targets:
        raise UsageError(unknown_name_message("target", name, list(targets)))
    return targets[name]
