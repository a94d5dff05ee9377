"""What is asked of a folder of real photographs: settings in two or three classes, in stops, and the medium."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.harvest.exif import Privacy, read_exif
from lightmeter.labels.datasets.dataset import TargetSpec

PHONES = (
    *("apple", "google", "hmd", "honor", "htc", "huawei", "lg", "motorola", "nokia", "oneplus", "oppo", "realme"),
    *("samsung", "vivo", "xiaomi"),
)


@dataclass(frozen=True)
class Shot:
    """A photograph, who took it, and how."""

    file: Path
    medium: str
    photographer: str
    make: str
    f_number: float | None
    exposure_time_s: float | None
    iso: float | None
    focal_length_35mm: float | None

    @property
    def digital(self) -> bool:
        return self.medium == "digital"

    @property
    def phone(self) -> bool:
        return self.make.lower().startswith(PHONES)


@dataclass(frozen=True)
class Task:
    """What is asked: a target, and the figure that counts."""

    name: str
    target: TargetSpec
    figure: str
    class_weights: bool = True

    def label(self, shot: Shot) -> "Labelled":
        """Return a photograph's class and its setting in stops, or None where the task does not concern it."""
        return LABELS[self.name](shot) if shot.digital or self.name == "medium" else (None, None)


def two(value: float | None, low: float, high: float, names: tuple[str, str]) -> str | None:
    """Return the first name at or under one bound, the second at or over the other."""
    if value is None or low < value < high:
        return None
    return names[0] if value <= low else names[1]


def nearest(value: float, stops: Sequence[float], names: Sequence[str]) -> str:
    return names[int(np.abs(np.asarray(stops) - value).argmin())]


def scale(low: int, high: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    return tuple(f"{number:+d}" for number in range(low, high + 1)), tuple(float(n) for n in range(low, high + 1))


AV, SV, TV = scale(1, 8), scale(-1, 7), scale(-12, 1)


def graded(value: float | None, classes: Any, convert: Any) -> tuple[str | None, float | None]:
    if not value:
        return None, None
    stops = convert(value)
    return nearest(stops, classes[1], classes[0]), stops


Labelled = tuple[str | None, float | None]
"""A class and a setting in stops, where there are such."""


def by_bounds(
    value: float | None, convert: Callable[[float], float], low: float, high: float, names: tuple[str, str]
) -> Labelled:
    return (two(value, low, high, names), convert(value)) if value else (None, None)


def shutter(shot: Shot) -> Labelled:
    return by_bounds(shot.exposure_time_s, shutter_stops, 1 / 495, 1 / 30.5, ("fast", "slow"))


def iso(shot: Shot) -> Labelled:
    return by_bounds(shot.iso, iso_stops, 200, 800, ("low", "high"))


def iso_100_800(shot: Shot) -> Labelled:
    return {100: "low", 800: "high"}.get(shot.iso or 0), iso(shot)[1]


def aperture(shot: Shot) -> Labelled:
    return (None, None) if shot.phone else by_bounds(shot.f_number, aperture_stops, 2.85, 7.9, ("open", "closed"))


def focal_length(shot: Shot) -> Labelled:
    found = shot.focal_length_35mm
    return ("wide", "normal", "long")[int(np.digitize(found, (28.5, 60.5)))] if found else None, None


LABELS: dict[str, Callable[[Shot], Labelled]] = {
    "shutter": shutter,
    "iso": iso,
    "iso 100/800": iso_100_800,
    "aperture": aperture,
    "focal length": focal_length,
    "medium": lambda shot: (shot.medium, None),
    "aperture, stops": lambda shot: graded(shot.f_number, AV, aperture_stops),
    "iso, stops": lambda shot: graded(shot.iso, SV, iso_stops),
    "shutter, stops": lambda shot: graded(shot.exposure_time_s, TV, shutter_stops),
}

TASKS = [
    Task("shutter", TargetSpec("shutter", "1", ("fast", "slow"), unit="log2 s"), "balanced_accuracy"),
    Task("iso", TargetSpec("iso", "1", ("low", "high"), unit="log2 (ISO / 100)"), "balanced_accuracy"),
    Task("iso 100/800", TargetSpec("iso", "1", ("low", "high"), unit="log2 (ISO / 100)"), "balanced_accuracy"),
    Task("aperture", TargetSpec("aperture", "1", ("open", "closed"), unit="Av"), "balanced_accuracy"),
    Task("focal length", TargetSpec("focal-length", "1", ("wide", "normal", "long")), "macro_f1"),
    Task("medium", TargetSpec("medium", "1", ("digital", "film")), "balanced_accuracy"),
    Task("aperture, stops", TargetSpec("aperture", "1", *AV, "Av"), "error_stops", class_weights=False),
    Task("iso, stops", TargetSpec("iso", "1", *SV, "log2 (ISO / 100)"), "error_stops", class_weights=False),
    Task("shutter, stops", TargetSpec("shutter", "1", *TV, "log2 s"), "error_stops", class_weights=False),
]


def shots(corpus: Path) -> Iterator[Shot]:
    for file in sorted(corpus.glob("*/*/**/*")):
        if not file.is_file():
            continue
        medium, photographer = file.relative_to(corpus).parts[:2]
        if medium not in ("digital", "film"):
            continue
        values = read_exif(file.read_bytes(), privacy=Privacy()).values
        yield Shot(
            file, medium, photographer, (values.make or "").strip(), values.f_number, values.exposure_time_s,
            values.iso, values.focal_length_35mm,
        )  # fmt: skip
