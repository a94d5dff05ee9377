"""Agreement of an inference engine with torch, on validation photographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightmeter.errors import LightmeterError
from lightmeter.labels.datasets.union import DatasetReference
from lightmeter.models.runtime.engines import EngineName, compare, engine_version
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput
from lightmeter.models.training.data.loader import each_photograph
from lightmeter.models.training.runs import open_run, training_dataset

MAX_DIFFERENCE = 1e-4
"""Largest difference of a probability with which an engine is used in an archive."""

_PHOTOGRAPHS = 32  # evenly selected


@dataclass(frozen=True)
class EngineAgreement:
    """How far the probabilities of an engine differ from those of torch.

    Attributes:
        engine: Name and version of the engine.
        dataset: Name of the data set.
        photographs: Number of photographs that were compared.
        difference: Largest difference of a probability.
    """

    engine: str
    dataset: str
    photographs: int
    difference: float

    def as_sentence(self) -> str:
        """Return the result as a sentence."""
        return (
            f"On {self.photographs} validation photographs of {self.dataset} the probabilities of {self.engine} differ "
            f"from those of torch by at most {self.difference:.1e}."
        )

    def as_section(self) -> str:
        """Return the result as a section of a model card."""
        return f"## Inference engine\n\nThis archive predicts with {self.engine}. {self.as_sentence()}\n"


def engine_agreement(
    run: Path, engine: EngineName, datasets: DatasetReference | Sequence[DatasetReference] | None = None
) -> EngineAgreement:
    """Compare an engine with torch on validation photographs.

    Args:
        run: Run folder.
        engine: The engine.
        datasets: The data sets of the training, or their folders (default: the project's data sets of these names).

    Raises:
        UsageError: The run, the data set or the engine cannot be used.
        LightmeterError: The engine and torch disagree, or no photograph could be compared.
    """
    reference, other = open_run(run), open_run(run, engine=engine)
    opened = training_dataset(reference, datasets)
    rows = opened.rows("validation")
    selected = rows[:: max(1, -(-len(rows) // _PHOTOGRAPHS))]
    results = each_photograph(opened, selected, reference.preprocess, "comparing engines")
    differences = [
        compare(_probabilities(reference, photo), _probabilities(other, photo))
        for _, photo in results
        if not isinstance(photo, InvalidPhoto)
    ]
    if not differences:
        raise LightmeterError(f"No validation photograph of {opened.spec.name} can be read to compare {engine} with.")
    if max(differences) > MAX_DIFFERENCE:
        raise LightmeterError(
            f"The probabilities of {engine} differ from those of torch by {max(differences):.1e}, more than "
            f"{MAX_DIFFERENCE:g}; use --engine torch."
        )
    return EngineAgreement(engine_version(engine), opened.spec.name, len(differences), max(differences))


def _probabilities(predictor: Predictor, photo: ModelInput) -> dict[str, NDArray[np.float64]]:
    predictions = predictor.predict(photo).predictions
    return {name: np.asarray(list(target.probabilities.values())) for name, target in predictions.items()}
