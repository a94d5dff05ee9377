"""Predictions of a model, as columns of the browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightmeter.errors import UsageError
from lightmeter.labels.browser.columns import Column, Numbers, Photographs, text_column
from lightmeter.plugins import unknown_name_message
from lightmeter.project import Project

_REQUIRED = ("sha256", "target", "predicted")
_FACETS = {"predicted": "Prediction", "truth": "True class (data set)", "split": "Split"}
_MAX_BYTES = 1 << 31


@dataclass(frozen=True)
class Predictions:
    """Predictions by photograph and target.

    Attributes:
        name: What the user called them: a run, or a file.
        table: One row per photograph and target.
    """

    name: str
    table: pa.Table

    @property
    def targets(self) -> list[str]:
        """Names of the predicted targets."""
        return sorted(pc.unique(self.table["target"]).to_pylist())

    def columns(self, photographs: Photographs, target: str) -> tuple[dict[str, Column], Numbers]:
        """Return the facets of one target, and the confidence of each photograph's prediction, NaN without one."""
        rows = self.table.filter(pc.equal(self.table["target"], target))
        rows = rows.take(pa.array(np.arange(len(rows))[::-1]))  # the last of several rows is shown
        taken = rows.take(pc.index_in(photographs.sha256, value_set=rows["sha256"].combine_chunks()))
        columns = {
            name: text_column(title, taken[name].cast(pa.string()))
            for name, title in _FACETS.items()
            if name in taken.column_names and taken[name].null_count < len(taken)
        }
        return columns, np.asarray([_confidence(row) for row in taken.to_pylist()], np.float64)

    def of_photograph(self, sha256: str) -> list[dict[str, Any]]:
        """Return what the predictions say of one photograph, by target."""
        rows = self.table.filter(pc.equal(self.table["sha256"], sha256)).to_pylist()
        return [
            {
                "target": row["target"],
                "predicted": row["predicted"],
                "truth": row.get("truth"),
                "confidence": _or_none(_confidence(row)),
                "patches": row.get("patches") or [],
            }
            for row in rows
        ]


def read_predictions(project: Project, name: str) -> Predictions:
    """Read the predictions of a run, or those that ``lightmeter models predict --out`` wrote.

    Args:
        project: The project.
        name: Name of a run of the project, or a Parquet file.

    Raises:
        UsageError: There is no such run or file, or it holds no predictions.
    """
    runs = _runs(project)
    path = runs.get(name) or Path(name)
    if not path.is_file():
        raise UsageError(unknown_name_message("run with predictions", name, list(runs)))
    return Predictions(name, _read(path))


def read_run_predictions(project: Project, name: str) -> Predictions:
    """Read the predictions of a run of the project, and of nothing else.

    Raises:
        UsageError: There is no such run.
    """
    runs = _runs(project)
    if name not in runs:
        raise UsageError(unknown_name_message("run with predictions", name, list(runs)))
    return Predictions(name, _read(runs[name]))


def _runs(project: Project) -> Mapping[str, Path]:
    return {file.parent.name: file for file in sorted(project.runs.glob("*/predictions.parquet"))}


def _read(path: Path) -> pa.Table:
    if path.stat().st_size > _MAX_BYTES:
        raise UsageError(f"{path} has more than {_MAX_BYTES:,} bytes.")
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from error
    if "predicted" not in table.column_names:  # of `models predict --out`
        table = table.rename_columns(["predicted" if name == "class" else name for name in table.column_names])
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing:
        raise UsageError(f"{path} holds no predictions: it has no column {missing[0]}.")
    return table.set_column(
        table.column_names.index("predicted"), "predicted", pc.cast(table["predicted"], pa.string())
    )


def _confidence(row: Mapping[str, Any]) -> float:
    probabilities: Sequence[float] | None = row.get("probabilities")
    confidence = row.get("confidence")
    if confidence is not None:
        return float(confidence)
    return max(probabilities) if probabilities else float("nan")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
