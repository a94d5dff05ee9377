"""Logits of the validation photographs after training, from what was computed for the training."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.training.data.feature_cache import Inputs
from lightmeter.models.training.data.loader import Row
from lightmeter.models.training.data.pipeline import each_output
from lightmeter.models.training.methods import Network, Probe, Training

Logits = Mapping[str, NDArray[np.float32]]


def validation_logits(
    predictor: Predictor, training: Training, inputs: Inputs, dataset: Dataset
) -> Iterator[tuple[Row, Logits]]:
    """Yield the logits of each validation photograph, the same as the predictor returns for its file.

    Only after a training with ``cache_activations`` the photographs are decoded again, as their activations were
    rounded.

    Args:
        predictor: The trained model.
        training: How it was trained.
        inputs: What the training read of validation: features for a probe, activations, or inputs of the network.
        dataset: Data set with the photographs.
    """
    if isinstance(training, Network) and training.cache_activations:
        for row, result in each_output(predictor, "logits", dataset, inputs.rows, "predicting, validation"):
            if not isinstance(result, InvalidPhoto):
                yield row, result.arrays
        return
    compute = _head_logits if isinstance(training, Probe) else _network_logits
    size = predictor.batch_size
    chunks = [np.arange(start, min(start + size, len(inputs))) for start in range(0, len(inputs), size)]
    with single_thread(), ThreadPoolExecutor(predictor.threads) as pool:
        computed = pool.map(lambda indices: compute(predictor, inputs, indices), chunks)
        for indices, logits in zip(chunks, computed, strict=True):
            for number, index in enumerate(indices.tolist()):
                yield inputs.rows[index], {name: values[number] for name, values in logits.items()}


def _network_logits(predictor: Predictor, inputs: Inputs, indices: NDArray[np.int64]) -> Logits:
    return predictor.compute("logits", inputs.take(indices))


def _head_logits(predictor: Predictor, inputs: Inputs, indices: NDArray[np.int64]) -> Logits:
    heads = predictor.network.get_submodule("heads")
    with torch.inference_mode():
        features = torch.from_numpy(inputs.take(indices)["features"]).to(predictor.device)
        return {name: logits.float().cpu().numpy() for name, logits in heads(features).items()}
