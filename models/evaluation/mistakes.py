"""The worst mistakes of a model, to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightmeter.files import write_atomic
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.plots import contact_sheet
from lightmeter.models.evaluation.predictions import BETWEEN
from lightmeter.models.runtime.preprocess import InvalidPhoto, preprocess
from lightmeter.models.runtime.spec import Preprocessing, Target

_SHOWN = 12
_SIDE = 192


def mistakes_file(split: str, target: str) -> str:
    """Return the name of a contact sheet in ``plots``."""
    return f"{split}-{target}-mistakes.png"


def write_mistakes(folder: Path, target: Target, predictions: Sequence[Mapping[str, Any]], dataset: Dataset) -> None:
    """Write a contact sheet of the photographs of the test split that were answered wrongly with most confidence.

    Args:
        folder: of the run.
        target: whose answers are looked at.
        predictions: rows of ``predictions.parquet``, of the test split.
        dataset: that holds the photographs.
    """
    wrong = [row for row in predictions if row["target"] == target.name and row["truth"] != row["predicted"]]
    shown = []
    for row in sorted(wrong, key=lambda row: -_sureness(row, target))[:_SHOWN]:
        try:
            data = (dataset.store / row["path"]).read_bytes()
            photograph = preprocess(data, Preprocessing(patches=0, view_size=_SIDE), row["crop"])
        except InvalidPhoto:
            continue
        shown.append((photograph, _caption(row, target)))
    if shown:
        title = f"{target.name}: wrong with most confidence"
        write_atomic(folder / "plots" / mistakes_file("test", target.name), contact_sheet(shown, title))


def _sureness(row: Mapping[str, Any], target: Target) -> float:
    """Return how probable the answer seemed; of several classes, the most mistaken one."""
    shares: list[float] = row["probabilities"]
    if not target.multiple:
        return max(shares)
    having = row["truth"].split(BETWEEN)
    return max(1 - share if name in having else share for name, share in zip(target.classes, shares, strict=True))


def _caption(row: Mapping[str, Any], target: Target) -> str:
    truth, answer = (row[key].replace(BETWEEN, ", ") or "none" for key in ("truth", "predicted"))
    sure = "" if target.multiple else f" ({max(row['probabilities']):.0%})"
    return f"{truth}, answered {answer}{sure}"
