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
from lightmeter.models.training.loader import each_photograph


def embedding(predictor: Predictor, photograph: ModelInput) -> NDArray[np.float32]:
    """Return the input of the model's heads, averaged over patches and normalised to length 1, shape (F,).

    Raises:
        UsageError: The model has no features before its heads.
    """
    if first_head(predictor.network) is None:
        raise UsageError(f"The model {predictor.spec.name} has no features to compare photographs by.")
    features = torch.from_numpy(predictor.compute("embedding", stack([photograph]))["embedding"])
    return functional.normalize(features.mean(0), dim=0).numpy()  # a network may have applied its heads to each patch


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
            "file": str(dataset.store / row["path"]),
            "sha256": row["sha256"],
            "split": row["split"],
            "similarity": float(embedding(predictor, photograph) @ query),
        }
        for row, photograph in each_photograph(dataset, dataset.rows(), predictor.preprocess, "comparing")
        if not isinstance(photograph, InvalidPhoto)
    ]
    return sorted(results, key=lambda result: -result["similarity"])[:count]
