"""What a model could cheat with: how well a class can be told without looking at the picture.

Each baseline is a decision tree (scikit-learn's CART) on a few columns of the manifest, cross-validated over the data
set's groups, so that it is scored on photographers and cameras that it has not seen. Intervals are bootstrapped over
groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from labels.dataset import TargetSpec, label_column

FOLDS = 5
SUSPICIOUS = 0.10
"""By how much a baseline's accuracy must exceed the majority's for a warning."""
EXIF = ("make", "model", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm", "flash_fired")
FILE = ("format", "width", "height", "quantisation")

_MOST = 20_000
_RESAMPLES = 1_000
_MOST_VALUES = 64
_LEAF = 3


@dataclass(frozen=True)
class Baseline:
    """How often one baseline is right.

    Attributes:
        name: what it looks at.
        accuracy: on photographs of groups that it has not learnt from.
        low: lower end of the 95 % interval.
        high: upper end.
    """

    name: str
    accuracy: float
    low: float
    high: float


def baselines(manifest: pa.Table, target: TargetSpec, determined_by: Sequence[str]) -> list[Baseline]:
    """Return the majority's accuracy and what each kind of confound reaches, in that order.

    Args:
        manifest: of the data set.
        target: whose classes are told.
        determined_by: EXIF columns that say the class outright; no baseline sees them.
    """
    labelled = manifest.filter(pc.is_valid(manifest.column(label_column(target.name))))
    labelled = labelled.slice(0, _MOST)  # rows are in the order of hashes, so the first are a random sample
    truth = labelled.column(label_column(target.name)).to_numpy(zero_copy_only=False)
    groups = np.unique(labelled.column("group").to_numpy(zero_copy_only=False), return_inverse=True)[1]
    folds = _folds(truth, groups)
    kinds: Mapping[str, Sequence[str]] = {
        "majority": (),
        "source": ("source",),
        "picture size and JPEG tables": FILE,
        "other EXIF": [name for name in EXIF if name not in determined_by],
    }
    return [_baseline(name, _right(labelled, truth, columns, folds), groups) for name, columns in kinds.items()]


def warnings_of(found: Sequence[Baseline], target: str) -> list[str]:
    """Return a sentence for each baseline that is suspiciously good."""
    majority, *others = found
    return [
        f"Beware: {target} can be told with {100 * one.accuracy:.0f} % accuracy from {one.name} alone, "
        f"{100 * (one.accuracy - majority.accuracy):.0f} points above the majority ({100 * majority.accuracy:.0f} %). "
        "A model may learn that instead of the picture."
        for one in others
        if one.accuracy - majority.accuracy > SUSPICIOUS
    ]


def _folds(truth: NDArray[Any], groups: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedGroupKFold

    _, counts = np.unique(truth, return_counts=True)
    splitter = StratifiedGroupKFold(max(2, min(FOLDS, counts.min(), groups.max() + 1)), shuffle=True, random_state=0)
    return list(splitter.split(truth, truth, groups))


def _right(
    table: pa.Table,
    truth: NDArray[Any],
    columns: Sequence[str],
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> NDArray[np.bool_]:
    """Return which photographs a baseline answers rightly when it has not learnt from their group."""
    features = _features(table, columns)
    right = np.zeros(len(truth), dtype=bool)
    for learn, ask in folds:
        right[ask] = _answers(features[learn], truth[learn], features[ask]) == truth[ask]
    return right


def _answers(features: NDArray[np.float64], truth: NDArray[Any], asked: NDArray[np.float64]) -> NDArray[Any]:
    from sklearn.dummy import DummyClassifier
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(min_samples_leaf=_LEAF, random_state=0) if features.shape[1] else DummyClassifier()
    answers: NDArray[Any] = model.fit(features, truth).predict(asked)
    return answers


def _features(table: pa.Table, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return numbers as they are (−1 where missing) and words as one column for each of the commonest."""
    parts = [np.empty((table.num_rows, 0))]
    for name in columns:
        column = table.column(name)
        if pa.types.is_string(column.type):
            words = column.fill_null("").to_numpy(zero_copy_only=False)
            common, counts = np.unique(words, return_counts=True)
            common = common[np.argsort(-counts, kind="stable")][:_MOST_VALUES]
            parts.append((words[:, None] == common[None, :]).astype(np.float64))
        else:
            parts.append(column.cast(pa.float64()).fill_null(-1.0).to_numpy()[:, None])
    return np.hstack(parts)


def _baseline(name: str, right: NDArray[np.bool_], groups: NDArray[np.int64]) -> Baseline:
    sizes = np.bincount(groups)
    hits = np.bincount(groups, weights=right)
    random = np.random.default_rng(0)
    draws = (random.integers(len(sizes), size=len(sizes)) for _ in range(_RESAMPLES))
    accuracies = [hits[drawn].sum() / sizes[drawn].sum() for drawn in draws]
    low, high = np.quantile(accuracies, (0.025, 0.975))
    return Baseline(name, float(right.mean()), float(low), float(high))
