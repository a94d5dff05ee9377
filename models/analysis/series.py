"""Controlled series: one scene again and again along one setting, and what a model answers along it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightmeter.bootstrap import bootstrap, group_numbers
from lightmeter.errors import UsageError
from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.files import write_atomic
from lightmeter.labels.datasets.dataset import Dataset, label_column, stops_column
from lightmeter.models.analysis.studies import read
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.evaluation.plots import stops_plot
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput, preprocess
from lightmeter.models.runtime.spec import Preprocessing, Target
from lightmeter.models.training.loader import check_readable, each_photograph

_TAGS = {"aperture": "f_number", "shutter": "exposure_time", "iso": "iso"}
_STOPS = {"aperture": aperture_stops, "shutter": shutter_stops, "iso": iso_stops}


def of_files(predictor: Predictor, files: Sequence[Path], target: Target) -> dict[str, Any]:
    """Predict files, and return the answers beside the truth of their EXIF.

    Raises:
        UsageError: if the target is no setting, or a file lacks its tag.
    """
    if target.name not in _TAGS:
        raise UsageError(f"'{target.name}' is no setting that stands in EXIF; a series needs aperture, shutter or iso.")
    rows = [{"file": str(file), "group": "", **_answer(predictor, read(predictor, file), target)} for file in files]
    return _found([{**row, "truth": _truth(Path(row["file"]), target)} for row in rows], target)


def of_dataset(predictor: Predictor, dataset: Dataset, target: Target) -> dict[str, Any]:
    """Predict all photographs of a data set of series, whatever its splits, and return the answers beside the truth.

    Raises:
        UsageError: if the model has learned from this data set, or it lacks the target.
    """
    if dataset.spec.manifest_sha256 == predictor.spec.data.get("manifest_sha256"):
        raise UsageError(f"The model {predictor.spec.name} has learned from {dataset.spec.name}; take another series.")
    if not dataset.spec.target(target.name).ordinal:
        raise UsageError(f"The data set {dataset.spec.name} has no stops for '{target.name}'.")
    rows = [row for row in dataset.rows() if row[label_column(target.name)] is not None]
    found = [
        {
            "file": str(dataset.store / row["path"]),
            "group": row["group"],
            **_answer(predictor, photograph, target),
            "truth": row[stops_column(target.name)],
        }
        for row, photograph in each_photograph(dataset, rows, predictor.preprocess, "predicting")
        if not isinstance(photograph, InvalidPhoto)
    ]
    check_readable(dataset, "series", found)
    return _found(found, target)


def check_ordinal(target: Target) -> Target:
    """Return the target if its classes are settings in stops.

    Raises:
        UsageError: if they are not.
    """
    if not target.stops:
        raise UsageError(f"'{target.name}' is no setting that is counted in stops; a series is along one that is.")
    return target


def write_series(picture: Path, found: Mapping[str, Any], target: Target) -> None:
    """Write the plot of a series."""
    rows = [{"true_stops": one["truth"], "predicted_stops": one["stops"]} for one in found["series"]]
    write_atomic(picture, stops_plot(rows, target.unit, f"{target.name} along a series"))


def _answer(predictor: Predictor, photograph: ModelInput, target: Target) -> dict[str, Any]:
    answer = predictor.predict(photograph).predictions[target.name]
    return {"stops": answer.stops, "class": answer.label}


def _found(rows: Sequence[Mapping[str, Any]], target: Target) -> dict[str, Any]:
    """Return the answers from few stops to many, and how near they are to the truth."""
    error = np.asarray([abs(row["stops"] - row["truth"]) for row in rows])
    true = np.asarray([np.abs(np.asarray(target.stops) - row["truth"]).argmin() for row in rows], np.int64)
    answered = np.asarray([target.classes.index(row["class"]) for row in rows], np.int64)
    groups = group_numbers([row["group"] for row in rows])
    scored = bootstrap(ClassPredictions(true, answered, groups, len(target.classes), error_stops=error))
    return {
        "target": target.name,
        "photographs": len(rows),
        **{name: scored[name] for name in ("error_stops", "within_one_stop", "within_one_class")},
        "series": sorted(
            ({key: row[key] for key in ("file", "truth", "stops", "class")} for row in rows),
            key=lambda one: float(one["truth"]),
        ),
    }


def _truth(file: Path, target: Target) -> float:
    tags = preprocess(file.read_bytes(), Preprocessing(patches=0, exif=(_TAGS[target.name],))).inputs["exif"]
    value, there = tags.tolist()
    if not there:
        raise UsageError(f"{file} does not say its {target.name} in its EXIF.")
    return float(_STOPS[target.name](2.0**value))
