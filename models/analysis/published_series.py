"""Readers of published series of real photographs: RealBokeh_3MP and SNAP."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.exposure import aperture_stops, iso_stops, parse_number, shutter_stops
from lightmeter.text.documents import read_json, read_text

_SNAP_FILES = ("data.csv", "annotations/data.csv")
_SNAP_COLUMNS: dict[str, tuple[str, Callable[[float], float]]] = {
    "aperture": ("F-Number", aperture_stops),
    "shutter": ("Shutter_speed", shutter_stops),
    "iso": ("ISO", iso_stops),
}


@dataclass(frozen=True)
class PublishedPhoto:
    """A photograph of a published series.

    Attributes:
        file: Path of the photograph.
        scene: Scene, for intervals.
        series: Photographs that can be compared in pairs: of one scene, in the same light, equally bright.
        stops: Settings in stops by the name of the target.
    """

    file: Path
    scene: str
    series: str
    stops: Mapping[str, float]


def read_published_series(folder: Path) -> list[PublishedPhoto]:
    """Return the photographs of RealBokeh_3MP or SNAP in a folder.

    Args:
        folder: For RealBokeh_3MP (T. Seizinger et al., ICCV 2025) a split, with ``metadata/``, ``in/`` and ``gt/``, or
            the folder of the splits; for SNAP (I. Kotseruba and J. Tsotsos, 2025) the folder with ``data.csv`` or
            ``annotations/data.csv`` and the photographs at the paths in it.

    Raises:
        UsageError: The folder holds neither, or a file has another form.
    """
    if metadata := sorted(folder.glob("metadata/*.json")) or sorted(folder.glob("*/metadata/*.json")):
        return [photo for file in metadata for photo in _realbokeh_scene(folder, file)]
    for name in _SNAP_FILES:
        if (folder / name).is_file():
            return list(_snap(folder, folder / name))
    raise UsageError(
        f"{folder} is no published series: it needs metadata/*.json (RealBokeh_3MP) or {_SNAP_FILES[0]} (SNAP)."
    )


def _realbokeh_scene(folder: Path, file: Path) -> Iterator[PublishedPhoto]:
    """Yield the photographs of a scene: the one with the smallest aperture and the others."""
    content = read_json(file)
    split = file.parents[1]
    scene = (split / file.stem).relative_to(folder).as_posix()
    try:
        files = [content["source_image"], *content["target_images"]]
        f_numbers = [content["source_av"], *content["target_avs"]]
        for name, f_number in zip(files, f_numbers, strict=True):
            yield PublishedPhoto(_inside(split, name), scene, scene, {"aperture": aperture_stops(_positive(f_number))})
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{file} is no scene of RealBokeh_3MP: it must have source_image, source_av and equally long lists "
            f"target_images and target_avs ({error})."
        ) from error


def _snap(folder: Path, file: Path) -> Iterator[PublishedPhoto]:
    for number, row in enumerate(csv.DictReader(io.StringIO(read_text(file))), start=2):
        try:
            stops = {name: to_stops(_positive(row[column])) for name, (column, to_stops) in _SNAP_COLUMNS.items()}
            series = f"{row['Object_name']}, {row['Lux']} lux, {row['EV_offset']} EV"
            yield PublishedPhoto(_inside(folder, row["Path"]), row["Object_name"], series, stops)
        except (KeyError, TypeError, ValueError) as error:
            columns = ", ".join(["Path", "Object_name", "Lux", "EV_offset", *(c for c, _ in _SNAP_COLUMNS.values())])
            raise UsageError(f"{file}, line {number}, is no row of SNAP ({error}); it needs {columns}.") from error


def _positive(value: Any) -> float:
    """Return the number of a setting, such as ``1/125``.

    Raises:
        ValueError: The value is not a number above 0.
    """
    number = parse_number(value)
    if number is None or number <= 0:
        raise ValueError(f"{value!r} is no setting")
    return number


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder.

    Raises:
        ValueError: The name leads out of the folder.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name} is outside the folder")
    return folder / path
