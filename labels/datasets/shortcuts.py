"""What a model could cheat with: how well a class can be told without looking at the picture.

Each baseline is a decision tree (scikit-learn's CART) on a few columns of the manifest, cross-validated over the data
set's groups, so that it is scored on photographers and cameras that it has not seen. Where photographs have one class
the score is the accuracy; where they can have several it is the macro F1, 2 TP / (2 TP + FP + FN) averaged over the
classes, and the majority's place takes whoever says every class of every photograph. Intervals are bootstrapped over
groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lightmeter.labels.datasets.dataset import TargetSpec, label_column
from lightmeter.labels.datasets.stratify import count, stratified_group_split

FOLDS = 5
SUSPICIOUS = 0.10
"""By how much a baseline's score must exceed the majority's for a warning."""
EXIF = ("make", "model", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm", "flash_fired")
FILE = ("format", "width", "height", "quantisation")

_MOST = 20_000
_RESAMPLES = 1_000
_MOST_VALUES = 64
_LEAF = 3

Numbers = NDArray[np.int64]
Truth = NDArray[np.bool_]
"""Which photograph has which class, shape (photographs, classes)."""


@dataclass(frozen=True)
class Baseline:
    """How good one baseline is.

    Attributes:
        name: what it looks at.
        score: on photographs of groups that it has not learnt from.
        low: lower end of the 95 % interval.
        high: upper end.
        measure: what the score is: ``accuracy`` or ``macro F1``.
        photographs: that were asked; a random sample of large data sets.
    """

    name: str
    score: float
    low: float
    high: float
    measure: str
    photographs: int


def shortcut_baselines(manifest: pa.Table, target: TargetSpec) -> list[Baseline]:
    """Return the majority's score and what each kind of confound reaches, in that order.

    Args:
        manifest: of the data set.
        target: whose classes are told.
    """
    has_label = manifest.column(label_column(target.name)).is_valid().to_numpy()
    # The rows are in the order of the hashes, so the first are a random sample.
    labelled = manifest.take(pa.array(np.flatnonzero(has_label)[:_MOST]))
    truth = _truth(labelled, target)
    names, groups = np.unique(labelled.column("group").to_numpy(zero_copy_only=False), return_inverse=True)
    folds = _folds(truth, groups, names.tolist())
    kinds: Mapping[str, Sequence[str]] = {"majority": (), **shortcut_features(target)}
    return [
        _baseline(name, truth, _told(labelled, truth, columns, folds, target), groups, target)
        for name, columns in kinds.items()
    ]


def shortcut_features(target: TargetSpec) -> dict[str, Sequence[str]]:
    """Return the columns that each kind of confound looks at; none of those that say the class outright."""
    return {
        "source": ("source",),
        "picture size and JPEG tables": FILE,
        "other EXIF": [name for name in EXIF if name not in target.determined_by],
    }


def shortcut_predictions(learn: pa.Table, ask: pa.Table, target: TargetSpec) -> dict[str, Truth]:
    """Return what each kind of confound says of some photographs when it has learnt from others.

    Args:
        learn: rows of a manifest that have a label.
        ask: others.
        target: whose classes are told.

    Returns:
        Which classes each photograph is said to have, shape (photographs, classes), by what was looked at.
    """
    learn = learn.slice(0, _MOST)
    truth, both = _truth(learn, target), pa.concat_tables([learn, ask])
    told = {}
    for name, columns in shortcut_features(target).items():
        features = _features(both, columns)
        told[name] = _classes(features[: len(truth)], truth, features[len(truth) :], target)
    return told


def shortcut_warnings(found: Sequence[Baseline], target: str) -> list[str]:
    """Return a sentence for each baseline that is suspiciously good."""
    majority, *others = found
    return [
        f"Beware: {target} can be told with {100 * one.score:.0f} % {one.measure} from {one.name} alone, "
        f"{100 * (one.score - majority.score):.0f} points above the majority ({100 * majority.score:.0f} %). "
        "A model may learn that instead of the picture."
        for one in others
        if one.score - majority.score > SUSPICIOUS
    ]


def _truth(table: pa.Table, target: TargetSpec) -> Truth:
    labels = table.column(label_column(target.name)).to_pylist()
    return np.asarray(
        [[name in label if target.multilabel else name == label for name in target.classes] for label in labels]
    )


def _folds(truth: Truth, groups: Numbers, names: Sequence[str]) -> Numbers:
    """Return the fold in which each photograph is asked, as data sets are dealt out."""
    rows, classes = np.nonzero(truth)
    number = int(max(2, min(FOLDS, truth.sum(axis=0).min(), len(names))))
    of_group = stratified_group_split(
        count(groups, rows, classes, truth.shape[1]), [1 / number] * number, names, seed=0
    )
    return np.asarray(of_group, dtype=np.int64)[groups]


def _told(table: pa.Table, truth: Truth, columns: Sequence[str], folds: Numbers, target: TargetSpec) -> Truth:
    """Return what a baseline says of photographs when it has not learnt from their group."""
    features = _features(table, columns)
    told = np.zeros_like(truth)
    for fold in np.unique(folds):
        learn, ask = folds != fold, folds == fold
        if not columns:
            told[ask] = True if target.multilabel else np.arange(truth.shape[1]) == truth[learn].sum(axis=0).argmax()
        else:
            told[ask] = _classes(features[learn], truth[learn], features[ask], target)
    return told


def _classes(features: NDArray[np.float64], truth: Truth, asked: NDArray[np.float64], target: TargetSpec) -> Truth:
    if target.multilabel:
        return _answers(features, truth, asked).astype(np.bool_)
    answers = _answers(features, truth.argmax(axis=1), asked)
    return np.asarray(np.arange(truth.shape[1]) == answers[:, None])


def _answers(features: NDArray[np.float64], truth: NDArray[np.generic], asked: NDArray[np.float64]) -> Numbers:
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(min_samples_leaf=_LEAF, random_state=0)
    answers: Numbers = model.fit(features, truth).predict(asked)
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


def _baseline(name: str, truth: Truth, told: Truth, groups: Numbers, target: TargetSpec) -> Baseline:
    """Score a baseline, with an interval over resamples of the groups."""
    if target.multilabel:
        counted, score, measure = np.hstack((truth & told, truth | told)), _macro_f1, "macro F1"
    else:
        right = (truth & told).any(axis=1)
        counted, score, measure = np.stack((right, np.ones_like(right)), axis=1), _share, "accuracy"
    of_groups = np.zeros((int(groups.max()) + 1, counted.shape[1]))
    np.add.at(of_groups, groups, counted)
    random, number = np.random.default_rng(0), len(of_groups)
    weights = [np.bincount(random.integers(number, size=number), minlength=number) for _ in range(_RESAMPLES)]
    low, high = np.quantile([score(drawn @ of_groups) for drawn in weights], (0.025, 0.975))
    return Baseline(name, score(of_groups.sum(axis=0)), float(low), float(high), measure, len(truth))


def _share(counted: NDArray[np.float64]) -> float:
    return float(counted[0] / counted[1])


def _macro_f1(counted: NDArray[np.float64]) -> float:
    """Return the mean F1 from each class's photographs that have it and are told so, and those that do either."""
    both, either = np.split(counted, 2)
    return float(np.mean(2 * both / np.maximum(both + either, 1)))
