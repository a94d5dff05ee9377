"""The model specification (``model.toml``): all that is needed to rebuild a trained network and its input.

A run folder is data. It is read with ``tomllib`` and safetensors alone, and every value is checked before it is used,
so an untrusted folder can be invalid but cannot execute code.
"""

import math
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from .engines import EngineName
from .exif_features import TAG_NAMES, feature_columns
from .measures import NAMES as MEASURES

SPEC_FILE = "model.toml"
WEIGHTS_FILE = "model.safetensors"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Pattern of the names of runs, models and targets."""

PatchSelection = Literal["uniform", "coloured", "informative"]

MAX_SPEC_BYTES, MAX_WEIGHT_BYTES = 1_000_000, 8_000_000_000
_MAX = {"patch_size": 1024, "patches": 4096, "view_size": 1024, "min_side": 1024}
_MAX_INTEGER = 10**9
_MAX_OPTION = 16_384  # of an architecture: widths and numbers of layers
MAX_PATCH_PIXELS = 1 << 25
"""Pixels of all patches of a photograph, which take 400 MB."""


class BrokenModel(ValueError):
    """A run folder cannot be used; the message is one sentence that says why."""


@dataclass(frozen=True)
class Preprocessing:
    """How a photograph becomes the input of a network.

    Attributes:
        patches: Number of square patches at native resolution; 0 for none.
        patch_size: Side of a patch in pixels.
        patch_selection: Where patches are taken. ``uniform``: evenly over the photograph. ``coloured``: likewise,
            without patches that are nearly black, white or grey. ``informative``: the roughest and the smoothest of
            four times as many candidates that are neither black nor white; blur shows in the former, noise in the
            latter.
        view_size: Side in pixels of the whole photograph, resized to a square; 0 for no view.
        measures: Whether measures of image quality are computed (`lightmeter.models.runtime.measures`).
        exif: Names of the EXIF tags used as features (`lightmeter.models.runtime.exif_features`).
        mean: Subtracted from red, green and blue (0 to 255).
        std: Red, green and blue are then divided by it.
        min_side: Photographs with a shorter side are rejected.
        max_bytes: Larger files are rejected.
        max_pixels: Larger images are rejected before they are decoded.
    """

    patches: int = 8
    patch_size: int = 128
    patch_selection: PatchSelection = "uniform"
    view_size: int = 0
    measures: bool = False
    exif: tuple[str, ...] = ()
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    min_side: int = 32
    max_bytes: int = 50_000_000
    max_pixels: int = 150_000_000

    def __post_init__(self) -> None:
        if min(self.std) <= 0:
            raise ValueError("std must be above zero")
        for tag in self.exif:
            if tag not in TAG_NAMES:
                raise ValueError(f"unknown EXIF tag '{tag}'; available tags: {', '.join(TAG_NAMES)}")
        if not any((self.patches and self.patch_size, self.view_size, self.measures, self.exif)):
            raise ValueError("preprocessing must select at least one of patches, view_size, measures and exif")
        if self.patches * self.patch_size**2 > MAX_PATCH_PIXELS:
            raise ValueError(f"all patches together may have {MAX_PATCH_PIXELS:,} pixels")

    @property
    def exif_columns(self) -> dict[str, list[int]]:
        """The columns of the input ``exif`` that each tag takes."""
        return feature_columns(self.exif)

    @property
    def measure_count(self) -> int:
        """The number of columns of the input ``measures``."""
        return len(MEASURES) if self.measures else 0


@dataclass(frozen=True)
class Target:
    """A quantity that the model predicts.

    Attributes:
        name: Target name, for example ``shutter``.
        classes: Class names, in order.
        stops: One number for each class of an ordinal target, else empty.
        unit: Unit of the stops, for example ``log2 s``.
        temperature: Logits are divided by it before the softmax or sigmoid (Guo et al. 2017).
        multilabel: Whether a photograph can have several classes at once; each class then has its own probability.
    """

    name: str
    classes: tuple[str, ...]
    stops: tuple[float, ...] = ()
    unit: str = ""
    temperature: float = 1.0
    multilabel: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or "." in self.name:
            raise ValueError(f"'{self.name}' is not a valid target name")
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"target {self.name} needs two or more distinct classes")
        if self.stops and len(self.stops) != len(self.classes):
            raise ValueError(f"target {self.name} needs one number of stops for each class")
        if self.stops and self.multilabel:
            raise ValueError(f"target {self.name} has stops and so cannot be multilabel")
        if self.temperature <= 0:
            raise ValueError("temperature must be above zero")


@dataclass(frozen=True)
class ModelSpec:
    """Content of ``model.toml``.

    Attributes:
        name: Name of the run and of the served model.
        version: Version of the model as in TorchServe, for example ``1.0``.
        lightmeter: Version of Lightmeter that trained it.
        recipe: Name of the recipe.
        architecture: Name of the architecture (`lightmeter.models.architectures`).
        preprocessing: How a photograph becomes the network's input.
        targets: What the model predicts.
        architecture_options: Keyword arguments of the architecture's builder.
        data: ``name`` and ``manifest_sha256`` of the training data; ``datasets``, a list of the same, if it is the
            union of several data sets.
        training: Facts about the training: seed, device, seconds and so on.
        ranges: Low and high end of most training photographs, by statistic (`input_warnings.STATISTICS`).
        weights_sha256: SHA-256 of the weights file.
        engine: What runs the network of an archive.
    """

    name: str
    version: str
    lightmeter: str
    recipe: str
    architecture: str
    preprocessing: Preprocessing
    targets: tuple[Target, ...]
    architecture_options: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    weights_sha256: str = ""
    engine: EngineName = "torch"

    def __post_init__(self) -> None:
        for key, value in (("name", self.name), ("version", self.version)):
            if not NAME.fullmatch(value):
                raise ValueError(f"{key} may contain letters, digits, '.', '_' and '-' only")
        if not self.targets or len(self.classes) < len(self.targets):
            raise ValueError("a model needs one or more targets with distinct names")
        for name, option in self.architecture_options.items():
            if isinstance(option, int) and not 0 <= option <= _MAX_OPTION:
                raise ValueError(f"architecture_options.{name} must be between 0 and {_MAX_OPTION:,}")
        parts = self.data.get("datasets", [])
        if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
            raise ValueError("data.datasets must be a list of tables")
        for name, (low, high) in self.ranges.items():
            if low > high:
                raise ValueError(f"ranges.{name} must be two numbers, the lower one first")

    @property
    def datasets(self) -> dict[str, str]:
        """SHA-256 of the manifest of each training data set, by name."""
        parts = self.data.get("datasets") or [self.data]
        return {str(part.get("name", "")): str(part.get("manifest_sha256", "")) for part in parts}

    @property
    def classes(self) -> dict[str, int]:
        """The number of classes of each target, by name."""
        return {target.name: len(target.classes) for target in self.targets}

    def as_dict(self) -> dict[str, Any]:
        """Return the specification as nested dictionaries, as in ``model.toml``."""
        return asdict(self)


def read_spec(run: Path) -> ModelSpec:
    """Read the specification of a run folder.

    Raises:
        BrokenModel: The file is missing, or a value in it is missing or invalid.
    """
    file = run / SPEC_FILE
    try:
        return spec_from(tomllib.loads(read_regular(file, MAX_SPEC_BYTES).decode()))
    except FileNotFoundError as error:
        raise BrokenModel(f"{run} is not a run folder: it has no {SPEC_FILE}.") from error
    except OSError as error:
        raise BrokenModel(f"Cannot read {file}: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenModel(f"Cannot read {file}: {error}.") from error
    except RecursionError as error:
        raise BrokenModel(f"{file} is damaged: it is nested too deeply.") from error
    except (TypeError, ValueError) as error:
        raise BrokenModel(f"{file} is damaged: {error}.") from error


def read_regular(file: Path, max_bytes: int) -> bytes:
    """Return the content of a file of a run folder, which somebody else may have made.

    Raises:
        OSError: The file cannot be read, is larger, or is a pipe or device, which need not end.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
            raise OSError(0, f"it must be a regular file of at most {max_bytes:,} bytes")
        return opened.read(max_bytes)


def spec_from(values: Mapping[str, Any]) -> ModelSpec:
    """Return the specification in a parsed ``model.toml``; unknown keys are ignored.

    Raises:
        TypeError: A value has another type.
        ValueError: A value is missing or impossible.
    """
    names = {spec_field.name for spec_field in fields(ModelSpec)}
    return cast("ModelSpec", _parse("", {key: values[key] for key in values if key in names}, ModelSpec))


def preprocessing_from(values: Mapping[str, Any]) -> Preprocessing:
    """Return checked preprocessing settings.

    Raises:
        TypeError: A setting is unknown or has another type.
        ValueError: A setting is impossible.
    """
    return cast("Preprocessing", _parse("preprocessing", values, Preprocessing))


def _parse(key: str, value: Any, kind: Any) -> Any:
    """Convert a TOML value to an annotated type.

    Args:
        key: Name of the value in error messages.
        value: As ``tomllib`` returns it.
        kind: ``bool``, ``int``, ``float``, ``str``, a ``Literal``, ``tuple``, ``Mapping`` or dataclass.

    Raises:
        TypeError: The value has another type.
        ValueError: The value is out of range.
    """
    origin, args = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _parse_dataclass(key, _table(key, value), kind)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{key} must be one of {', '.join(args)}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not ... and len(value) != len(args)):
            raise TypeError(f"{key} must be a list" + ("" if args[-1] is ... else f" of {len(args)} numbers"))
        return tuple(_parse(key, item, args[0]) for item in value)
    if kind is Any:
        return value
    if origin is not None:
        return {name: _parse(f"{key}.{name}", item, args[1]) for name, item in _table(key, value).items()}
    return _parse_scalar(key, value, kind)


def _parse_dataclass(key: str, values: Mapping[str, Any], kind: Any) -> Any:
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise TypeError(f"unknown setting '{name}' in {key}")
    for item in fields(kind):
        if item.name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"'{item.name}' is missing")
    return kind(**{name: _parse(name, value, hints[name]) for name, value in values.items()})


_SCALARS: Mapping[type, tuple[Any, str]] = {
    str: (str, "text"),
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: (int | float, "a number"),
}


def _parse_scalar(key: str, value: Any, kind: type) -> Any:
    accepted, description = _SCALARS[kind]
    if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
        raise TypeError(f"{key} must be {description}")
    if kind is float and not math.isfinite(value):
        raise TypeError(f"{key} must be a finite number")
    maximum = _MAX.get(key, _MAX_INTEGER)
    if kind is int and not 0 <= value <= maximum:
        raise ValueError(f"{key} must be between 0 and {maximum}")
    return float(value) if kind is float else value


def _table(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{key} must be a table")
    return value
