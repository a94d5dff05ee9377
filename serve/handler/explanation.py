"""Contribution of each patch to a prediction. Runs inside an archive."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...models.runtime.predictor import Predictor
from ...models.runtime.preprocess import InvalidPhoto, ModelInput, patch_positions

_MAX_PATCHES = 64
_UNPROCESSABLE = 422


def explain(predictor: Predictor, photo: ModelInput, classes: Mapping[str, str]) -> dict[str, Any]:
    """Return the box of each patch and its contribution to the probability of the predicted class.

    The contribution of a patch is the probability with all patches less the probability without it (leave-one-out;
    the occlusion of Zeiler and Fergus 2014, without painting anything over). ``alone`` is the probability from the
    patch by itself. The model's other inputs (EXIF tags, measurements) stay unchanged.

    Args:
        predictor: The model.
        photo: The preprocessed photograph.
        classes: The predicted class of each target.

    Returns:
        ``width`` and ``height`` of the stored image, and ``patches``, each with ``box`` (in stored pixels),
        ``contribution`` and ``alone`` (both by target).

    Raises:
        InvalidPhoto: The model uses no patches at fixed positions, or too many of them (status 422).
    """
    settings = predictor.spec.preprocessing
    if "patches" not in photo.inputs or settings.patch_selection != "uniform":
        raise InvalidPhoto(_UNPROCESSABLE, "This model does not use patches spread over the photograph.")
    patches = photo.inputs["patches"]
    if len(patches) > _MAX_PATCHES:
        raise InvalidPhoto(
            _UNPROCESSABLE, f"This model uses {len(patches)} patches; explanations support at most {_MAX_PATCHES}."
        )

    def probabilities(subset: Any) -> dict[str, float]:
        if not len(subset):
            return dict.fromkeys(classes, 0.0)
        prediction = predictor.predict(replace(photo, inputs={**photo.inputs, "patches": subset}))
        return {target: prediction.predictions[target].probabilities[label] for target, label in classes.items()}

    size = settings.patch_size
    positions = patch_positions(max(photo.width, size), max(photo.height, size), len(patches), size)
    total = probabilities(patches)
    explained = []
    for index, (x, y) in enumerate(positions):
        without = probabilities(np.delete(patches, index, 0))
        explained.append(
            {
                "box": {"x": x, "y": y, "width": size, "height": size},
                "contribution": {target: total[target] - without[target] for target in total},
                "alone": probabilities(patches[index : index + 1]),
            }
        )
    return {"width": photo.width, "height": photo.height, "patches": explained}
