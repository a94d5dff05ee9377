"""Label issues found by a model: confident learning (Northcutt, Jiang and Chuang, 2021) with cleanlab."""

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
from lightmeter.labels.datasets.card.shortcuts import encode_features
from lightmeter.labels.datasets.collect import LabelledPhotos
from lightmeter.labels.targets.base import Target
from lightmeter.terminal.console import get_console
from lightmeter.text.documents import InvalidDocument, read_toml
from lightmeter.text.names import name_key

_FOLDS = 5
_MIN_PHOTOGRAPHS = 50
_MAX_TRAINING = 20_000
_TREES = 100
_MIN_ACCURACY = 0.85
_MAX_SHARE = 0.05
_MIN_PROBABILITY = 1e-6
_EXIF = ("f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm", "width", "height", "file_size")

IssueScores = dict[tuple[str, str], float]
"""1 - the predicted probability of a label that is likely wrong, by SHA-256 and label."""


def find_label_issues(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[int, float]:
    """Return the labels that are likely wrong.

    Args:
        labels: Class indices, shape (n,).
        probabilities: Out-of-sample predictions, shape (n, n_classes).

    Returns:
        1 - the probability of the label by row, in descending order. Empty if the predictions are too poor to dispute a
        label: a model that is often wrong itself would suspect right labels. At most `_MAX_SHARE` of the labels, the
        most disputed ones, so that the next predictions are made from corrected labels.

    Raises:
        UsageError: cleanlab is not installed.
    """
    accuracy = float((probabilities.argmax(axis=1) == labels).mean()) if len(labels) else 0.0
    majority = float(np.bincount(labels).max() / len(labels)) if len(labels) else 1.0
    if accuracy < _MIN_ACCURACY or accuracy <= majority:
        get_console().note(
            f"Model-based checks skipped: the model agrees with {100 * accuracy:.0f} % of the labels, the most "
            f"frequent class with {100 * majority:.0f} %. To dispute labels, it must agree with more than that, and "
            f"with {100 * _MIN_ACCURACY:.0f} %."
        )
        return {}
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise UsageError(
            "Model-based auditing needs cleanlab: run pip install 'lightmeter[audit]', or use --no-model."
        ) from error
    rows = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    rows = rows[: max(1, int(_MAX_SHARE * len(labels)))]
    return {int(row): float(1 - probabilities[row, labels[row]]) for row in rows}


def issues_from_run(run: Path, target: str) -> IssueScores:
    """Return label issues in the validation and test photographs of an evaluated run, with their labels at that time.

    Args:
        run: Directory of the run.
        target: Name of the target.

    Raises:
        UsageError: The run has no predictions of the target.
    """
    try:
        spec = read_toml(run / "model.toml")
        classes = next(entry["classes"] for entry in spec["targets"] if entry["name"] == target)
        table = pq.read_table(run / "predictions.parquet")
    except (OSError, StopIteration, KeyError, TypeError, InvalidDocument, pa.ArrowInvalid) as error:
        raise UsageError(
            f"{run} contains no predictions of target {target}; run 'lightmeter models evaluate' first."
        ) from error
    table = table.filter(pc.and_(pc.equal(table["target"], target), pc.not_equal(table["split"], "train")))
    hashes, names = table["sha256"].to_pylist(), table["truth"].to_pylist()
    labels = np.asarray([classes.index(name) for name in names], dtype=np.int64)
    issues = find_label_issues(labels, np.asarray(table["probabilities"].to_pylist(), dtype=np.float64))
    # A photograph with several crops has several scores: reversed, the highest comes last and is kept.
    return {(hashes[row], names[row]): score for row, score in reversed(issues.items())}


def issues_from_features(connection: Connection, photos: LabelledPhotos, target: Target[Any]) -> IssueScores:
    """Return label issues found by a random forest on filter measures and EXIF.

    The predictions are cross-validated over photographers. EXIF columns that determine the target are not used.

    Args:
        connection: Catalogue connection.
        photos: Labelled photographs.
        target: The target.
    """
    labels, rows = _frequent_labels(photos, target)
    if len(rows) < _MIN_PHOTOGRAPHS or labels.max() == 0:
        return {}
    features = _features(connection, photos, exclude=(*target.exif_columns, *target.related_columns))[rows]
    owners = photos.column("owners")
    photographers = [name_key(owners[row][0]) if owners[row] else f"#{row}" for row in rows]
    groups = np.unique(photographers, return_inverse=True)[1]
    issues = find_label_issues(labels, _out_of_fold_probabilities(features, labels, groups))
    hashes, names = photos.column("sha256"), photos.labels(target)
    return {(hashes[rows[row]], str(names[rows[row]])): score for row, score in issues.items()}


def _frequent_labels(photos: LabelledPhotos, target: Target[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return class indices and row numbers of photographs whose class has enough members for every fold."""
    values = np.asarray(photos.labels(target), dtype=np.str_)
    names, counts = np.unique(values, return_counts=True)
    rows = np.flatnonzero(np.isin(values, names[counts >= _FOLDS]))
    return np.unique(values[rows], return_inverse=True)[1].astype(np.int64), rows.astype(np.int64)


def _out_of_fold_probabilities(
    features: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    probabilities = np.full((len(labels), int(labels.max()) + 1), _MIN_PROBABILITY)
    n_groups = int(groups.max()) + 1
    if n_groups == 1:  # one photographer
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(features, labels)
    else:
        folds = StratifiedGroupKFold(min(_FOLDS, n_groups), shuffle=True, random_state=0).split(
            features, labels, groups
        )
    for train, test in folds:
        train = train[:_MAX_TRAINING]  # noqa: PLW2901 - a random sample: rows are in the order of their SHA-256
        model = RandomForestClassifier(_TREES, min_samples_leaf=2, random_state=0).fit(features[train], labels[train])
        predictions = np.maximum(model.predict_proba(features[test]), _MIN_PROBABILITY)
        probabilities[np.ix_(test, model.classes_)] = predictions
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def _features(connection: Connection, photos: LabelledPhotos, exclude: Sequence[str]) -> NDArray[np.float64]:
    """Return filter measures and EXIF values, -1 for missing ones, shape (n_photographs, n_features)."""
    row_of = {image: row for row, image in enumerate(photos.column("image_id"))}
    measures: dict[str, NDArray[np.float64]] = {}
    for id_range in id_ranges(connection):
        query = select(Inspection.image_id, Inspection.filter, Inspection.measures)
        for image, name, values in connection.execute(query.where(id_range.covers(Inspection.image_id))):
            for key, value in values.items() if image in row_of else ():
                if isinstance(value, int | float):
                    column = measures.setdefault(f"{name}.{key}", np.full(len(row_of), -1.0))
                    column[row_of[image]] = value
    exif = encode_features(photos.table, [name for name in _EXIF if name not in exclude])
    return np.column_stack([*(measures[name] for name in sorted(measures)), exif])
