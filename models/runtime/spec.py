"""What ``model.toml`` says: everything that is needed to build a trained network again and to feed it.

A run folder is data. It is read with ``tomllib`` and safetensors alone, and every value is checked before
it is used, so a folder from a stranger can be wrong but cannot run anything.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from .exif_features import NAMES as TAG_NAMES
from .exif_features import columns_of
from .measures import NAMES as MEASURES

SPEC_FILE = "model.toml"
WEIGHTS_FILE = "model.safetensors"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

PatchSelection = Literal["spread", "coloured", "informative"]

_LARGEST = {"patch_size": 1024, "patches": 4096, "view": 1024, "smallest_side": 1024}


class BrokenModel(ValueError):
    """A run folder cannot be used; the message is one sentence that says why."""


@dataclass(frozen=True)
class Preprocessing:
    """How a photograph becomes a network's input.

    Attributes:
        patches: number of squares cut at native resolution; 0 for none.
        patch_size: their side in pixels.
        choice: where they are cut; ``spread`` is evenly over the photograph, ``coloured`` also leaves out what is
            nearly black, white or grey, ``informative`` takes of four times as many the roughest and the smoothest that
            are neither black nor white: blur shows in the former, noise in the latter.
        view: side in pixels of the whole photograph, squeezed into a square; 0 for none.
        measures: whether measures of quality are taken (`lightmeter.models.runtime.measures`).
        exif: names of EXIF tags that are read (`lightmeter.models.runtime.exif_features`).
        mean: subtracted from each of red, green and blue (0 to 255).
        deviation: then divided by.
        smallest_side: photographs with a shorter side are refused.
        max_bytes: larger files are refused.
        max_pixels: larger pictures are refused before they are decoded.
    """

    patches: int = 8
    patch_size: int = 128
    choice: PatchSelection = "spread"
    view: int = 0
    measures: bool = False
    exif: tuple[str, ...] = ()
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    deviation: tuple[float, float, float] = (128.0, 128.0, 128.0)
    smallest_side: int = 32
    max_bytes: int = 50_000_000
    max_pixels: int = 150_000_000

    @property
    def exif_columns(self) -> dict[str, list[int]]:
        """The columns of the input ``exif`` that each tag takes."""
        return columns_of(self.exif)

    @property
    def measure_count(self) -> int:
        """The number of columns of the input ``measures``."""
        return len(MEASURES) if self.measures else 0


@dataclass(frozen=True)
class Target:
    """One thing that the model tells of a photograph.

    Attributes:
        name: for example ``shutter``.
        classes: in order.
        stops: one number a class for an ordinal target, else empty.
        unit: what the numbers count, for example ``log2 s``.
        temperature: logits are divided by it before the softmax, or the sigmoid (Guo et al. 2017).
        multiple: whether a photograph can have several classes at once; each then has a probability of its own.
    """

    name: str
    classes: tuple[str, ...]
    stops: tuple[float, ...] = ()
    unit: str = ""
    temperature: float = 1.0
    multiple: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """What ``model.toml`` says.

    Attributes:
        name: of the run and of the served model.
        version: as TorchServe counts, ``1.0``.
        lightmeter: the version of Lightmeter that trained it.
        recipe: the recipe's name.
        architecture: the plugin that builds the network.
        architecture_options: for that plugin.
        data: name and manifest_sha256 of the data set that it was trained on.
        training: how it went: seed, device, seconds and so on.
        ranges: where most of the training photographs lie, by name (see `image_stats`): from, to.
        weights_sha256: of the weights' file.
    """

    name: str
    version: str
    lightmeter: str
    recipe: str
    architecture: str
    preprocessing: Preprocessing
    targets: tuple[Target, ...]
    architecture_options: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    weights_sha256: str = ""

    @property
    def classes(self) -> dict[str, int]:
        """The number of classes of each target, by name."""
        return {target.name: len(target.classes) for target in self.targets}

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as TOML knows it."""
        return cast("dict[str, Any]", _lists(asdict(self)))


def read_spec(run: Path) -> ModelSpec:
    """Read the spec of a run folder.

    Raises:
        BrokenModel: if there is none, or something in it is missing or wrong.
    """
    file = run / SPEC_FILE
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BrokenModel(f"{run} is no run folder: it has no {SPEC_FILE}.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenModel(f"{file} cannot be read: {error}.") from error
    try:
        return spec_from(values)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise BrokenModel(f"{file} is damaged: {reason}.") from error


def spec_from(values: dict[str, Any]) -> ModelSpec:
    """Return the spec that a parsed ``model.toml`` holds.

    Raises:
        KeyError: if a value is missing.
        TypeError: if a value is unknown or of another type.
        ValueError: if a value is impossible.
    """
    names = ("name", "version", "lightmeter", "recipe", "architecture")
    texts = {key: _text(key, values[key]) for key in names}
    for key in ("name", "version"):
        if not NAME.fullmatch(texts[key]):
            raise ValueError(f"{key} may hold letters, digits, '.', '_' and '-' only")
    targets = tuple(_target(_table("targets", target)) for target in values["targets"])
    if not targets or len({target.name for target in targets}) < len(targets):
        raise ValueError("targets must be at least one, each with a name of its own")
    return ModelSpec(
        **texts,
        preprocessing=preprocessing_from(_table("preprocessing", values["preprocessing"])),
        targets=targets,
        architecture_options=_table("architecture_options", values.get("architecture_options", {})),
        data=_table("data", values.get("data", {})),
        training=_table("training", values.get("training", {})),
        ranges={name: _range(name, ends) for name, ends in _table("ranges", values.get("ranges", {})).items()},
        weights_sha256=_text("weights_sha256", values.get("weights_sha256", "")),
    )


def preprocessing_from(values: Mapping[str, Any]) -> Preprocessing:
    """Return checked preprocessing settings.

    Raises:
        TypeError: if a setting is unknown or of another type.
        ValueError: if a setting is impossible.
    """
    known = asdict(Preprocessing())
    for key, value in values.items():
        if key not in known:
            raise TypeError(f"there is no preprocessing setting '{key}'")
        if isinstance(known[key], bool):
            _yes_or_no(key, value)
        elif isinstance(known[key], int):
            _whole(key, value)
    chosen = {**known, **values, "exif": tuple(values.get("exif", ()))}
    for key in ("mean", "deviation"):
        chosen[key] = _numbers(key, chosen[key])
    settings = Preprocessing(**chosen)
    _check_possible(settings)
    return settings


def _check_possible(settings: Preprocessing) -> None:
    if len(settings.mean) != 3 or len(settings.deviation) != 3:
        raise ValueError("mean and deviation must be three numbers each")
    if min(settings.deviation) <= 0:
        raise ValueError("deviation must be above zero")
    if settings.choice not in get_args(PatchSelection):
        raise ValueError(f"choice must be one of {', '.join(get_args(PatchSelection))}")
    for tag in settings.exif:
        if tag not in TAG_NAMES:
            raise ValueError(f"there is no EXIF tag '{tag}' to ask for; there are {', '.join(TAG_NAMES)}")
    cuts = settings.patches and settings.patch_size
    if not any((cuts, settings.view, settings.measures, settings.exif)):
        raise ValueError("neither patches nor a view, measures or EXIF tags are asked for")


def _target(values: dict[str, Any]) -> Target:
    for key in values:
        if key not in Target.__dataclass_fields__:
            raise TypeError(f"a target has no '{key}'")
    name = _text("name", values["name"])
    if not NAME.fullmatch(name) or "." in name:
        raise ValueError(f"'{name}' cannot be the name of a target")
    classes = tuple(_text("classes", value) for value in values["classes"])
    stops = _numbers("stops", values.get("stops", ()))
    (temperature,) = _numbers("temperature", [values.get("temperature", 1.0)])
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise ValueError(f"the target {name} must have two classes or more, each with a name of its own")
    if stops and len(stops) != len(classes):
        raise ValueError(f"the target {name} must have one number of stops a class")
    if temperature <= 0:
        raise ValueError("temperature must be above zero")
    multiple = values.get("multiple", False)
    _yes_or_no("multiple", multiple)
    if stops and multiple:
        raise ValueError(f"the target {name} has stops, so a photograph has one of its classes only")
    return Target(name, classes, stops, _text("unit", values.get("unit", "")), temperature, multiple)


def _range(name: str, ends: object) -> tuple[float, float]:
    low, *rest = _numbers(f"the range of {name}", ends) or (0.0,)
    if len(rest) != 1 or low > rest[0]:
        raise ValueError(f"the range of {name} must be two numbers, the lower one first")
    return low, rest[0]


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{key} must be text")
    return value


def _table(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{key} must be a table")
    return value


def _whole(key: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{key} must be a whole number")
    if not 0 <= value <= _LARGEST.get(key, 10**9):
        raise ValueError(f"{key} must be between 0 and {_LARGEST.get(key, 10**9)}")


def _yes_or_no(key: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{key} must be true or false")


def _numbers(key: str, values: object) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or not all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    ):
        raise TypeError(f"{key} must be numbers")
    return tuple(float(value) for value in values)


def _lists(value: Any) -> Any:
    """Return a value with lists for tuples and without None, as TOML wants it."""
    if isinstance(value, Mapping):
        return {key: _lists(part) for key, part in value.items() if part is not None}
    return [_lists(part) for part in value] if isinstance(value, list | tuple) else value
