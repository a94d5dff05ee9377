"""Controlled series: photographs of one scene that differ in one setting, the predictions along it, and their order."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lightmeter.bootstrap import Floats, group_indices, group_intervals, group_sums
from lightmeter.errors import LightmeterError, UsageError
from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import label_column, stops_column
from lightmeter.models.analysis.inputs import get_target
from lightmeter.models.analysis.published_series import PublishedPhoto, read_published_series
from lightmeter.models.evaluation.metrics.base import estimates
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput, preprocess, read_photo
from lightmeter.models.runtime.spec import Preprocessing, Target
from lightmeter.models.training.data.loader import each_photograph
from lightmeter.terminal import console

_SETTINGS = {
    "aperture": ("f_number", aperture_stops),
    "shutter": ("exposure_time", shutter_stops),
    "iso": ("iso", iso_stops),
}
"""EXIF tag of each setting, and its conversion to stops."""

CHANCE = 0.5

_LEAST_DIFFERENCE = 0.1  # stops; nominal settings differ from exact ones by up to 0.09


class SeriesPhoto(NamedTuple):
    """A photograph of a series.

    Attributes:
        file: Path of the photograph.
        group: Group of the photograph, for intervals; its scene, except in data sets.
        series: Photographs to compare in pairs.
        model_input: Preprocessed photograph, or why it cannot be used.
        true_stops: True setting in stops.
    """

    file: str
    group: str
    series: str
    model_input: ModelInput | InvalidPhoto
    true_stops: float = np.nan


def ordinal_target(predictor: Predictor, name: str | None) -> Target:
    """Return an ordinal target of the model by its name (default: the first target).

    Raises:
        UsageError: The model has no such target, or it is not ordinal.
    """
    target = get_target(predictor, name)
    if not target.stops:
        raise UsageError(f"'{target.name}' is not measured in stops; a series needs an ordinal target.")
    return target


def predict_series_files(predictor: Predictor, files: Sequence[Path], target: Target) -> dict[str, Any]:
    """Predict files and compare with the setting in their EXIF; the files of one folder are one scene.

    Files that are missing, are no photographs or lack the setting are listed under ``errors``.

    Raises:
        UsageError: The target is not a setting in EXIF.
        LightmeterError: No file can be used.
    """
    if target.name not in _SETTINGS:
        raise UsageError(f"'{target.name}' is not a setting in EXIF; a series of files needs {', '.join(_SETTINGS)}.")
    return _predict_series(predictor, (_read_file(predictor, file, target) for file in files), target)


def predict_series_dataset(predictor: Predictor, dataset: Dataset, target: Target) -> dict[str, Any]:
    """Predict all photographs of a data set of series, of every split, and compare with their labels.

    Raises:
        UsageError: The model was trained on this data set, or it lacks the target.
        LightmeterError: No photograph can be used.
    """
    if dataset.spec.manifest_sha256 in predictor.spec.datasets.values():
        raise UsageError(
            f"The model {predictor.spec.name} was trained on {dataset.spec.name}; choose another data set of series."
        )
    if not dataset.spec.target(target.name).ordinal:
        raise UsageError(f"The data set {dataset.spec.name} has no stops for '{target.name}'.")
    rows = [row for row in dataset.rows() if row[label_column(target.name)] is not None]
    photographs = (
        SeriesPhoto(dataset.store.location(row["sha256"]), row["group"], "", photograph, row[stops_column(target.name)])
        for row, photograph in each_photograph(dataset, rows, predictor.preprocess, "predicting")
    )
    return _predict_series(predictor, photographs, target)


def predict_published_series(predictor: Predictor, folder: Path, target: Target) -> dict[str, Any]:
    """Predict a published series of real photographs and compare with its settings.

    Photographs of its list that are not in the folder are counted as ``missing``.

    Raises:
        UsageError: The folder holds no published series, or the series does not have the setting.
        LightmeterError: No photograph can be used.
    """
    photos = [photo for photo in read_published_series(folder) if target.name in photo.stops]
    if not photos:
        raise UsageError(f"The series in {folder} has no {target.name}.")
    existing = [photo for photo in photos if photo.file.is_file()]
    with console.get_console().progress() as progress:
        photographs = (
            SeriesPhoto(str(photo.file), photo.scene, photo.series, _read(predictor, photo), photo.stops[target.name])
            for photo in progress.track(existing, description="predicting")
        )
        result = _predict_series(predictor, photographs, target)
    return result | {"missing": len(photos) - len(existing)}


def _read(predictor: Predictor, photo: PublishedPhoto) -> ModelInput | InvalidPhoto:
    try:
        return predictor.preprocess(read_photo(photo.file, predictor.spec.preprocessing.max_bytes))
    except InvalidPhoto as error:
        return error


def _predict_series(predictor: Predictor, photographs: Iterable[SeriesPhoto], target: Target) -> dict[str, Any]:
    """Return the metrics of a series, its predictions from few stops to many, and what could not be predicted."""
    rows, groups, series = [], [], []
    errors: list[dict[str, Any]] = []
    for photo in photographs:
        try:
            if isinstance(photo.model_input, InvalidPhoto):
                raise photo.model_input
            prediction = predictor.predict(photo.model_input).predictions[target.name]
        except InvalidPhoto as error:
            errors.append({"file": photo.file, "error": {"status": error.status, "reason": error.reason}})
            continue
        rows.append(
            {
                "file": photo.file,
                "true_stops": photo.true_stops,
                "predicted_stops": prediction.stops,
                "class": prediction.label,
            }
        )
        groups.append(photo.group)
        series.append(photo.series)
    if not rows:
        first = f" {errors[0]['file']}: {errors[0]['error']['reason']}" if errors else ""
        raise LightmeterError(f"No photograph of the series can be used.{first}")
    true_stops, predicted_stops = (
        np.asarray([row[key] for row in rows], np.float64) for key in ("true_stops", "predicted_stops")
    )
    metrics = estimates(
        ClassPredictions(
            truth=np.abs(np.asarray(target.stops) - true_stops[:, None]).argmin(1),
            predicted=np.asarray([target.classes.index(str(row["class"])) for row in rows], np.int64),
            groups=group_indices(groups),
            n_classes=len(target.classes),
            true_stops=true_stops,
            predicted_stops=predicted_stops,
        )
    )
    return {
        "target": target.name,
        "photographs": len(rows),
        **{name: metrics[name] for name in ("mae_stops", "within_one_stop", "within_one_class")},
        "pairs": order_of_pairs(series, groups, true_stops, predicted_stops) if all(series) else None,
        "series": sorted(rows, key=itemgetter("true_stops")),
        "errors": errors,
    }


def _read_file(predictor: Predictor, file: Path, target: Target) -> SeriesPhoto:
    scene = str(file.absolute().parent)
    try:
        data = read_photo(file, predictor.spec.preprocessing.max_bytes)
        return SeriesPhoto(str(file), scene, scene, predictor.preprocess(data), _exif_stops(data, target))
    except InvalidPhoto as error:
        return SeriesPhoto(str(file), scene, scene, error)


def _exif_stops(data: bytes, target: Target) -> float:
    """Return a file's setting from its EXIF, in stops.

    Raises:
        InvalidPhoto: The setting is not in the EXIF.
    """
    tag, to_stops = _SETTINGS[target.name]
    value, present = preprocess(data, Preprocessing(patches=0, exif=(tag,))).inputs["exif"].tolist()
    if not present:
        raise InvalidPhoto(422, f"The photograph has no {target.name} in its EXIF.")
    return float(to_stops(2.0**value))


def order_of_pairs(
    series: Sequence[str], scenes: Sequence[str], true_stops: Floats, predicted_stops: Floats
) -> dict[str, Any]:
    """Return the share of pairs of photographs whose predictions are in the order of their true settings.

    Pairs are of photographs of one series with different settings; equal predictions count as half.

    Args:
        series: Series of each photograph.
        scenes: Scene of each photograph, the unit of the interval; a series has one scene.
        true_stops: True settings in stops, shape (N,).
        predicted_stops: Predicted settings in stops, shape (N,).

    Returns:
        ``pairs`` and ``scenes`` as numbers, ``in_order`` as an estimate, ``baseline`` of guessing.

    Example:
        >>> result = order_of_pairs(["a"] * 3, ["a"] * 3, np.array([2.0, 4.0, 6.0]), np.array([3.0, 5.0, 4.0]))
        >>> result["pairs"], round(result["in_order"]["value"], 3)
        (3, 0.667)
    """
    indices, numbers = group_indices(series), group_indices(scenes)
    scores, owners = [np.empty(0)], [np.empty(0, np.int64)]
    for number in range(indices.max(initial=-1) + 1):
        members = np.flatnonzero(indices == number)
        true, predicted = (values[members][:, None] - values[members] for values in (true_stops, predicted_stops))
        compared = true > _LEAST_DIFFERENCE
        scores.append((np.sign(predicted[compared]) + 1) / 2)
        owners.append(np.full(int(compared.sum()), numbers[members[0]]))
    score, owner = np.concatenate(scores), np.unique(np.concatenate(owners), return_inverse=True)[1]
    hits, counts = group_sums(owner, score), group_sums(owner, np.ones_like(score))
    if not len(counts):
        return {"pairs": 0, "scenes": 0, "in_order": {"value": None, "low": None, "high": None}, "baseline": CHANCE}
    estimate = group_intervals(lambda weights: {"in_order": weights @ hits / (weights @ counts)}, counts)
    return {"pairs": len(score), "scenes": len(counts), **estimate, "baseline": CHANCE}
