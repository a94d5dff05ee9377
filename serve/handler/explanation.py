"""Which patches counted. Runs inside an archive."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lightmeter.models.runtime.predictor import InvalidPhoto, ModelInput, Predictor
from lightmeter.models.runtime.preprocess import patch_positions

_MOST = 64


def explain(predictor: Predictor, photograph: ModelInput, classes: Mapping[str, str]) -> dict[str, Any]:
    """Return, for each patch, where it is and what it did to the probability of the answered class.

    A patch counts by what is lost without it: the probability that all patches give the class, less the one that all
    the others give it (leave-one-out; the occlusion of Zeiler and Fergus 2014, with nothing painted over). ``alone`` is
    the probability that the patch gives by itself. What else the model is given (EXIF tags, measures) stays as it is.

    Args:
        predictor: the model.
        photograph: what it was given.
        classes: the answered class of each target.

    Raises:
        PhotographError: if the model does not look at patches whose places are known, or at too many to leave each
            out in turn.
    """
    settings = predictor.spec.preprocessing
    if "patches" not in photograph.inputs or settings.patch_selection != "uniform":
        raise InvalidPhoto(422, "This model does not look at patches that are spread over a photograph.")
    patches = photograph.inputs["patches"]
    if len(patches) > _MOST:
        raise InvalidPhoto(422, f"This model looks at {len(patches)} patches; at most {_MOST} are explained.")
    size = settings.patch_size
    corners = patch_positions(max(photograph.width, size), max(photograph.height, size), len(patches), size)
    every = _probabilities(predictor, photograph, patches, classes)
    return {
        "width": photograph.width,
        "height": photograph.height,
        "patches": [
            {
                "box": {"x": x, "y": y, "width": size, "height": size},
                "counts": _less(every, _probabilities(predictor, photograph, np.delete(patches, index, 0), classes)),
                "alone": _probabilities(predictor, photograph, patches[index : index + 1], classes),
            }
            for index, (x, y) in enumerate(corners)
        ],
    }


def _probabilities(
    predictor: Predictor, photograph: ModelInput, patches: Any, classes: Mapping[str, str]
) -> dict[str, float]:
    if not len(patches):
        return dict.fromkeys(classes, 0.0)
    reading = predictor.predict(replace(photograph, inputs={**photograph.inputs, "patches": patches}))
    return {target: reading.predictions[target].probabilities[label] for target, label in classes.items()}


def _less(every: Mapping[str, float], without: Mapping[str, float]) -> dict[str, float]:
    return {target: every[target] - without[target] for target in every}
