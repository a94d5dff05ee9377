"""Embeddings of photographs: the features before the heads, and search by similarity."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.analysis.inputs import read_photograph
from lightmeter.models.runtime.engines.outputs import first_head
from lightmeter.models.runtime.predictor import Predictor, stack
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput
from lightmeter.models.training.data.pipeline import each_output


def embedding(predictor: Predictor, photograph: ModelInput) -> NDArray[np.float32]:
    """Return the input of the model's heads, averaged over patches and normalised to length 1, shape (F,).

    Raises:
        UsageError: The model has no features before its heads.
    """
    if first_head(predictor.network) is None:
        raise UsageError(f"The model {predictor.spec.name} has no features to compare photographs by.")
    return _normalised(predictor.compute("embedding", stack([photograph]))["embedding"][0])


def similar_photographs(predictor: Predictor, file: Path, dataset: Dataset, count: int) -> list[dict[str, Any]]:
    """Return the photographs of a data set with the highest cosine similarity to a file, highest first.

    Args:
        predictor: Predictor of the model.
        file: Photograph to compare with.
        dataset: Data set to search, all splits.
        count: Number of photographs to return.
    """
    query = embedding(predictor, read_photograph(predictor, file))
    results = [
        {
            "file": dataset.store.location(row["sha256"]),
            "sha256": row["sha256"],
            "split": row["split"],
            "similarity": float(_normalised(result.arrays["embedding"]) @ query),
        }
        for row, result in each_output(predictor, "embedding", dataset, dataset.rows(), "comparing")
        if not isinstance(result, InvalidPhoto)
    ]
    return sorted(results, key=lambda result: -result["similarity"])[:count]


def _normalised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return functional.normalize(torch.from_numpy(features), dim=0).numpy()
