"""Estimates of a model in the terms of photographers, beside the EXIF of the file."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightmeter.exposure import (
    angle_of_view,
    aperture_stops,
    format_setting,
    iso_stops,
    nominal_settings,
    setting_from_stops,
    shutter_stops,
)
from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.harvest.exif.reader import read_exif
from lightmeter.models.evaluation.predict import predict_files
from lightmeter.models.runtime.intervals import StopsDistribution
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Target


@dataclass(frozen=True)
class Quantity:
    """A camera setting that models estimate.

    Attributes:
        title: Its name.
        column: Its EXIF column.
        to_stops: Converts a value of the column to the stops of the target; None for a class without order.
    """

    title: str
    column: str
    to_stops: Callable[[float], float] | None = None


QUANTITIES = {
    "aperture": Quantity("aperture", "f_number", aperture_stops),
    "shutter": Quantity("shutter speed", "exposure_time_s", shutter_stops),
    "iso": Quantity("ISO", "iso", iso_stops),
    "focal-length": Quantity("lens", "focal_length_35mm"),
    "focal-length-35mm": Quantity("focal length (35 mm)", "focal_length_35mm", math.log2),
    "medium": Quantity("film or digital", "film"),
}
"""The settings by the name of the target; other targets of a model are shown by their class."""


def read_photographs(predictor: Predictor, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the predictions for photographs as ``models predict`` does, with ``settings`` and ``exif``.

    Args:
        predictor: Predictor of the model.
        files: Photographs.

    Returns:
        For each file the document of ``models predict``. ``settings`` holds for each target the ``title``, the
        ``estimate`` and for settings in stops the ends ``low`` and ``high`` of the interval as a photographer writes
        them, the ``confidence`` that the estimate is right within one stop (of a class: that it is right), ``exif`` as
        in the file, and the ``difference_stops`` between the two. ``exif`` holds the values of the file.
    """
    entries = predict_files(predictor, files)
    for entry, file in zip(entries, files, strict=True):
        if "error" not in entry:
            values = read_exif(file).values
            entry["exif"] = {column: getattr(values, column) for column in _exif_columns()}
            entry["settings"] = {
                target.name: _setting(target, entry["predictions"][target.name], values)
                for target in predictor.spec.targets
            }
    return entries


def _exif_columns() -> list[str]:
    return ["make", "model", *dict.fromkeys(quantity.column for quantity in QUANTITIES.values())]


def _setting(target: Target, prediction: Mapping[str, Any], exif: ExifValues) -> dict[str, Any]:
    quantity = QUANTITIES.get(target.name, Quantity(target.name, ""))
    recorded = getattr(exif, quantity.column, None)
    if "interval" not in prediction:
        name = prediction.get("class", "")
        return {
            "title": quantity.title,
            "estimate": name,
            "confidence": prediction["probabilities"][name],
            **({"exif": _format(quantity, recorded)} if recorded is not None else {}),
        }
    stops = prediction["stops"]
    distribution = StopsDistribution(list(prediction["probabilities"].values()), target.stops)
    low, high = (setting_from_stops(bound, target.unit) for bound in prediction["interval"])
    setting = {
        "title": quantity.title,
        "estimate": _format(quantity, prediction["number"]),
        "low": _format(quantity, low),
        "high": _format(quantity, high),
        "confidence": distribution.share(stops - 1, stops + 1),
    }
    if target.unit == "log2 mm":
        views = {"angle_of_view": prediction["number"], "angle_of_view_low": high, "angle_of_view_high": low}
        setting |= {key: round(angle_of_view(value), 1) for key, value in views.items()}
    if recorded is not None and quantity.to_stops:
        setting |= {
            "exif": _format(quantity, recorded),
            "difference_stops": round(stops - quantity.to_stops(recorded), 2),
        }
    return setting


def _format(quantity: Quantity, value: Any) -> str:
    """Format a setting, as the nearest nominal value where there is one."""
    if not isinstance(value, float | int):
        return str(value)
    nominal = nominal_settings(**{quantity.column: value}) if quantity.column in _NOMINAL else {}
    return format_setting(quantity.column, nominal.get(quantity.column) or float(value))


_NOMINAL = ("f_number", "exposure_time_s", "iso")
