"""Which labels a model doubts: confident learning (Northcutt, Jiang and Chuang, 2021) by the library cleanlab."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import Inspection
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.datasets.collect import LabelledPhotos
from lightmeter.labels.targets.base import Target

_FOLDS = 5
_LEAST = 50
_TREES = 100
_EXIF = ("f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm", "width", "height", "file_size")


Doubts = dict[tuple[str, str], float]
"""By SHA-256 and label: 1 − the probability that a model gives to that label, where it is likely wrong."""


def find_label_issues(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[int, float]:
    """Return the likely wrong labels: by row, 1 − the probability of the label; the greatest first.

    Args:
        truth: class numbers, shape (N,).
        probabilities: of predictions that have not seen the label, shape (N, classes).

    Raises:
        UsageError: if cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise UsageError(
            "Asking a model needs cleanlab: pip install 'lightmeter[audit]'; --no-model does the rest of the audit."
        ) from error
    rows = find_label_issues(truth, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return {int(row): float(1 - probabilities[row, truth[row]]) for row in rows}


def probabilities_from_run(run: Path, target: str) -> Doubts:
    """Return the doubts of a trained model: of photographs that it did not learn from, with the labels they had then.

    Args:
        run: folder of a run that was evaluated.
        target: whose labels.

    Raises:
        UsageError: if the folder has no predictions of the target.
    """
    try:
        spec = tomllib.loads((run / "model.toml").read_text(encoding="utf-8"))
        classes = next(one["classes"] for one in spec["targets"] if one["name"] == target)
        table = pq.read_table(run / "predictions.parquet")
    except (OSError, StopIteration, KeyError, tomllib.TOMLDecodeError, pa.ArrowInvalid) as error:
        raise UsageError(f"{run} holds no predictions of {target}; run 'lightmeter models evaluate' first.") from error
    table = table.filter(pc.and_(pc.equal(table["target"], target), pc.not_equal(table["split"], "train")))
    hashes, labels = table["sha256"].to_pylist(), table["truth"].to_pylist()
    truth = np.asarray([classes.index(name) for name in labels], dtype=np.int64)
    found = find_label_issues(truth, np.asarray(table["probabilities"].to_pylist(), dtype=np.float64))
    # Of several crops of a photograph the greatest doubt counts; the greatest come first.
    return {(hashes[row], labels[row]): doubt for row, doubt in reversed(found.items())}


def cross_validated_probabilities(connection: Connection, gathered: LabelledPhotos, target: Target[Any]) -> Doubts:
    """Return the doubts of a random forest on what filters measured and on the other EXIF values.

    Its predictions are cross-validated over photographers, so that none has seen the label it doubts.

    Args:
        connection: to the catalogue.
        gathered: labelled photographs.
        target: whose labels.
    """
    truth, rows = _truth(gathered, target)
    if len(rows) < _LEAST:
        return {}
    features = _features(connection, gathered, (*target.exif_columns, *target.related_columns))[rows]
    owners = gathered.column("owners")
    owners = [owners[row] or (f"#{row}",) for row in rows]
    groups = np.unique([names[0] for names in owners], return_inverse=True)[1]
    found = find_label_issues(truth, _out_of_fold(features, truth, groups))
    hashes, labels = gathered.column("sha256"), gathered.labels(target)
    return {(hashes[rows[row]], str(labels[rows[row]])): doubt for row, doubt in found.items()}


def _truth(gathered: LabelledPhotos, target: Target[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return class numbers and rows of the photographs of classes that every fold can hold."""
    values = np.asarray(gathered.labels(target), dtype=np.str_)
    names, counts = np.unique(values, return_counts=True)
    rows = np.flatnonzero(np.isin(values, names[counts >= _FOLDS]))
    return np.unique(values[rows], return_inverse=True)[1].astype(np.int64), rows.astype(np.int64)


def _out_of_fold(
    features: NDArray[np.float64], truth: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    probabilities = np.full((len(truth), int(truth.max()) + 1), 1e-6)
    folds = StratifiedGroupKFold(min(_FOLDS, int(groups.max()) + 1), shuffle=True, random_state=0)
    for learn, ask in folds.split(features, truth, groups):
        model = RandomForestClassifier(_TREES, min_samples_leaf=2, random_state=0).fit(features[learn], truth[learn])
        probabilities[np.ix_(ask, model.classes_)] = np.maximum(model.predict_proba(features[ask]), 1e-6)
    normalised: NDArray[np.float64] = probabilities / probabilities.sum(axis=1, keepdims=True)
    return normalised


def _features(connection: Connection, gathered: LabelledPhotos, hidden: Sequence[str]) -> NDArray[np.float64]:
    """Return what is measured of each photograph, −1 where it is missing, shape (photographs, measures)."""
    ids = gathered.column("image_id")
    measured: dict[int, dict[str, float]] = {image: {} for image in ids}
    for span in id_ranges(connection):
        query = select(Inspection.image_id, Inspection.filter, Inspection.measures)
        for image, name, measures in connection.execute(query.where(span.covers(Inspection.image_id))):
            if image in measured:
                measured[image] |= {f"{name}.{key}": v for key, v in measures.items() if isinstance(v, int | float)}
    names = sorted({name for one in measured.values() for name in one})
    of_filters = [[measured[image].get(name, -1.0) for name in names] for image in ids]
    of_exif = [gathered.column(name) for name in _EXIF if name not in hidden]
    exif = np.asarray([[-1.0 if value is None else value for value in column] for column in of_exif], dtype=np.float64)
    return np.hstack([np.asarray(of_filters, dtype=np.float64).reshape(len(ids), -1), exif.T])
