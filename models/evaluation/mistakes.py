"""Plot of the most confident errors of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightmeter.files import write_atomic
from lightmeter.images.grid import fit
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.plots import photo_grid_plot
from lightmeter.models.evaluation.predictions import CLASS_SEPARATOR
from lightmeter.models.runtime.preprocess import InvalidPhoto, preprocess
from lightmeter.models.runtime.spec import Preprocessing, Target

_MAX_PHOTOGRAPHS = 12
_VIEW = 192  # pixels
_MAX_CAPTION = 36  # characters


def mistakes_file(split: str, target: str) -> str:
    """Return the file name of the plot in ``plots``."""
    return f"{split}-{target}-mistakes.png"


def write_mistakes(folder: Path, target: Target, predictions: Sequence[Mapping[str, Any]], dataset: Dataset) -> None:
    """Write the plot of the most confident errors on the test split, if there are any.

    Args:
        folder: Run folder.
        target: Target of the model.
        predictions: Rows of ``predictions.parquet`` of the test split.
        dataset: Data set with the photographs.
    """
    errors = [row for row in predictions if row["target"] == target.name and row["truth"] != row["predicted"]]
    photographs = []
    for row in sorted(errors, key=lambda row: -_confidence(row, target))[:_MAX_PHOTOGRAPHS]:
        try:
            data = dataset.read(row["sha256"])
            photograph = preprocess(data, Preprocessing(patches=0, view_size=_VIEW), row["crop"])
        except InvalidPhoto:
            continue
        photographs.append((photograph, _caption(row, target)))
    if photographs:
        plot = photo_grid_plot(photographs, f"{target.name}: most confident errors")
        write_atomic(folder / "plots" / mistakes_file("test", target.name), plot)


def _confidence(row: Mapping[str, Any], target: Target) -> float:
    """Return the probability of the wrong prediction; for multilabel targets that of the worst class."""
    probabilities: list[float] = row["probabilities"]
    if not target.multilabel:
        return max(probabilities)
    true = row["truth"].split(CLASS_SEPARATOR)
    return max(1 - p if name in true else p for name, p in zip(target.classes, probabilities, strict=True))


def _caption(row: Mapping[str, Any], target: Target) -> list[str]:
    truth, predicted = (row[key].replace(CLASS_SEPARATOR, ", ") or "none" for key in ("truth", "predicted"))
    confidence = "" if target.multilabel else f" ({100 * max(row['probabilities']):.0f} %)"
    lines = (row["file"] or row["sha256"][:12], f"true: {truth}", f"predicted: {predicted}{confidence}")
    return [fit(line, _MAX_CAPTION) for line in lines]
