"""Explanations of a prediction: the effect of each patch, and a saliency map of each image."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.models.analysis.inputs import get_target, image_tensors
from lightmeter.models.analysis.saliency import METHODS, AttributionRequest
from lightmeter.models.evaluation.plots import explanation_plot
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput, read_photo
from lightmeter.models.runtime.spec import Target
from lightmeter.plugins import unknown_name_message

_MAX_STEM_BYTES = 100  # of the name of a plot


@dataclass(frozen=True)
class Explanation:
    """Explanation of a prediction.

    Attributes:
        label: Predicted class.
        patch_effects: Decrease of the class's logit when a patch is replaced by its mean colour, shape (K,).
        maps: Saliency map of each image input, scaled to a maximum of 1, shape (..., H, W).
        facts: What the saliency method reports, for example its number of steps.
    """

    label: str
    patch_effects: NDArray[np.float64]
    maps: dict[str, NDArray[np.float32]]
    facts: Mapping[str, float]


def explain(predictor: Predictor, photograph: ModelInput, target: Target, method: str = "gradient") -> Explanation:
    """Explain the prediction about a target.

    Patch effects are measured by occlusion (Zeiler and Fergus, ECCV 2014).

    Args:
        predictor: Predictor of the model.
        photograph: Preprocessed photograph.
        target: Target of the model.
        method: Saliency method, a key of `METHODS`.

    Raises:
        UsageError: The model uses no images, or the method is unknown.
    """
    inputs = predictor.tensors(photograph)
    images = image_tensors(predictor, inputs)
    if method not in METHODS:
        raise UsageError(unknown_name_message("saliency method", method, list(METHODS)))
    with single_thread():
        with torch.inference_mode():
            logits = predictor.network(inputs)[target.name][0]
        index = int(logits.argmax())
        attribution = METHODS[method](AttributionRequest(predictor.network, inputs, images, target.name, index))
        effects = _patch_effects(predictor, inputs, target.name, index, float(logits[index]))
    scaled = {name: (values / values.max().clamp(min=1e-12)).cpu().numpy() for name, values in attribution.maps.items()}
    return Explanation(target.classes[index], effects, scaled, attribution.facts)


def explain_files(
    predictor: Predictor, files: Sequence[Path], target_name: str | None, method: str, out: Path
) -> list[dict[str, Any]]:
    """Explain the predictions about files, and write one plot per file into a folder.

    The name of a plot contains a hash of the photograph and the name of the run, so that no plot replaces another. A
    file that is missing or unusable gives an error instead.

    Args:
        predictor: Predictor of the model.
        files: Photographs.
        target_name: Target to explain (default: the first).
        method: Saliency method, a key of `METHODS`.
        out: Output folder.
    """
    target = get_target(predictor, target_name)
    results: list[dict[str, Any]] = []
    for file in files:
        try:
            data = read_photo(file, predictor.spec.preprocessing.max_bytes)
            photograph = predictor.preprocess(data)
        except InvalidPhoto as error:
            results.append({"file": str(file), "error": {"status": error.status, "reason": error.reason}})
            continue
        explanation = explain(predictor, photograph, target, method)
        digest = hashlib.sha256(data).hexdigest()[:8]
        plot = out / f"{_file_stem(file)}-{digest}-{predictor.spec.name}-{target.name}-{method}.png"
        title = f"{file.name}: {target.name} {explanation.label}, {method}"
        write_atomic(plot, explanation_plot(photograph, explanation, title))
        results.append(
            {
                "file": str(file),
                "target": target.name,
                "class": explanation.label,
                "method": method,
                **explanation.facts,
                "patch_effects": explanation.patch_effects.tolist(),
                "plot": str(plot),
            }
        )
    return results


def _file_stem(file: Path) -> str:
    """Return the name of a file without its suffix, short enough for a longer name, and in UTF-8."""
    return os.fsencode(file.stem)[:_MAX_STEM_BYTES].decode(errors="replace")


def _patch_effects(
    predictor: Predictor, inputs: Mapping[str, Tensor], target: str, index: int, logit: float
) -> NDArray[np.float64]:
    if "patches" not in inputs:
        return np.empty(0)
    effects = []
    with torch.inference_mode():
        for number in range(inputs["patches"].shape[1]):
            patches = inputs["patches"].clone()
            patches[:, number] = patches[:, number].mean((2, 3), keepdim=True)
            effects.append(logit - float(predictor.network({**inputs, "patches": patches})[target][0, index]))
    return np.asarray(effects)
