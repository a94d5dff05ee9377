"""Tasks of the corpus benchmark: settings in two or three classes, settings in stops, and the medium."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.harvest.exif.reader import read_exif
from lightmeter.images.pixel_statistics import jpeg_quality
from lightmeter.labels.datasets.spec import TargetSpec

PHONE_MAKES = (
    *("apple", "google", "hmd", "honor", "htc", "huawei", "lg", "motorola", "nokia", "oneplus", "oppo", "realme"),
    *("samsung", "vivo", "xiaomi"),
)

_SOFTWARE = 0x131  # tag of EXIF

Label = tuple[str | None, float | None]
"""Class and setting in stops; None if missing."""


@dataclass(frozen=True)
class Photo:
    """A photograph with its photographer, its EXIF, and the size, JPEG quality and software of its file."""

    file: Path
    medium: str
    photographer: str
    make: str
    f_number: float | None
    exposure_time_s: float | None
    iso: float | None
    focal_length_35mm: float | None
    model: str = ""
    size: tuple[int, int] = (0, 0)
    quality: float = 0.0
    software: str = ""

    @property
    def digital(self) -> bool:
        return self.medium == "digital"

    @property
    def phone(self) -> bool:
        return self.make.lower().startswith(PHONE_MAKES)


@dataclass(frozen=True)
class Task:
    """A target with its main metric.

    Attributes:
        name: Name of the task.
        target: Classes to predict.
        metric: Metric to report.
        label_of: Function that returns the label of a photograph.
        class_weights: Whether classes are weighted inversely to their frequency.
    """

    name: str
    target: TargetSpec
    metric: str
    label_of: Callable[[Photo], Label]
    class_weights: bool = True

    def label(self, photo: Photo) -> Label:
        """Return the label of a photograph, None twice if the task does not apply to it."""
        return self.label_of(photo) if photo.digital or self.name == "medium" else (None, None)


def label_by_bounds(
    value: float | None, to_stops: Callable[[float], float], low: float, high: float, names: tuple[str, str]
) -> Label:
    """Return the first class at or below the lower bound, the second at or above the upper bound."""
    if not value:
        return None, None
    stops = to_stops(value)
    if low < value < high:
        return None, stops
    return names[0] if value <= low else names[1], stops


def whole_stops(low: int, high: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return names and stops of the classes, a class for each whole stop."""
    return tuple(f"{number:+d}" for number in range(low, high + 1)), tuple(float(n) for n in range(low, high + 1))


APERTURE_STOPS, ISO_STOPS, SHUTTER_STOPS = whole_stops(1, 8), whole_stops(-1, 7), whole_stops(-12, 1)


def label_by_nearest_stop(
    value: float | None, scale: tuple[Sequence[str], Sequence[float]], to_stops: Callable[[float], float]
) -> Label:
    """Return the class of the nearest whole stop."""
    if not value:
        return None, None
    stops = to_stops(value)
    names, centres = scale
    return names[int(np.abs(np.asarray(centres) - stops).argmin())], stops


def shutter(photo: Photo) -> Label:
    return label_by_bounds(photo.exposure_time_s, shutter_stops, 1 / 495, 1 / 30.5, ("fast", "slow"))


def iso(photo: Photo) -> Label:
    return label_by_bounds(photo.iso, iso_stops, 200, 800, ("low", "high"))


def iso_100_800(photo: Photo) -> Label:
    return {100.0: "low", 800.0: "high"}.get(photo.iso or 0.0), iso(photo)[1]


def aperture(photo: Photo) -> Label:
    return (
        (None, None) if photo.phone else label_by_bounds(photo.f_number, aperture_stops, 2.85, 7.9, ("open", "closed"))
    )


def focal_length(photo: Photo) -> Label:
    value = photo.focal_length_35mm
    return ("wide", "normal", "long")[int(np.digitize(value, (28.5, 60.5)))] if value else None, None


def medium(photo: Photo) -> Label:
    return photo.medium, None


ISO = TargetSpec("iso", "1", ("low", "high"), unit="log2 (ISO / 100)")

TASKS = [
    Task("shutter", TargetSpec("shutter", "1", ("fast", "slow"), unit="log2 s"), "balanced_accuracy", shutter),
    Task("iso", ISO, "balanced_accuracy", iso),
    Task("iso 100/800", ISO, "balanced_accuracy", iso_100_800),
    Task("aperture", TargetSpec("aperture", "1", ("open", "closed"), unit="Av"), "balanced_accuracy", aperture),
    Task("focal length", TargetSpec("focal-length", "1", ("wide", "normal", "long")), "macro_f1", focal_length),
    Task("medium", TargetSpec("medium", "1", ("digital", "film")), "balanced_accuracy", medium),
    Task(
        "aperture, stops",
        TargetSpec("aperture", "1", *APERTURE_STOPS, "Av"),
        "mae_stops",
        lambda photo: label_by_nearest_stop(photo.f_number, APERTURE_STOPS, aperture_stops),
        class_weights=False,
    ),
    Task(
        "iso, stops",
        TargetSpec("iso", "1", *ISO_STOPS, "log2 (ISO / 100)"),
        "mae_stops",
        lambda photo: label_by_nearest_stop(photo.iso, ISO_STOPS, iso_stops),
        class_weights=False,
    ),
    Task(
        "shutter, stops",
        TargetSpec("shutter", "1", *SHUTTER_STOPS, "log2 s"),
        "mae_stops",
        lambda photo: label_by_nearest_stop(photo.exposure_time_s, SHUTTER_STOPS, shutter_stops),
        class_weights=False,
    ),
]


def read_photos(corpus: Path) -> Iterator[Photo]:
    """Yield the photographs of a corpus folder with their EXIF."""
    for file in sorted(corpus.glob("*/*/**/*")):
        medium, photographer = file.relative_to(corpus).parts[:2]
        if not file.is_file() or medium not in ("digital", "film"):
            continue
        data = file.read_bytes()
        exif = read_exif(data).values
        with Image.open(io.BytesIO(data)) as image:
            size, software = image.size, str(image.getexif().get(_SOFTWARE, ""))
            quality = jpeg_quality(getattr(image, "quantization", None)) or 0.0
        yield Photo(
            file,
            medium,
            photographer,
            (exif.make or "").strip(),
            exif.f_number,
            exif.exposure_time_s,
            exif.iso,
            exif.focal_length_35mm,
            (exif.model or "").strip(),
            size,
            quality,
            software,
        )
