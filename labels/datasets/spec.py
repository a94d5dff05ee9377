"""The file ``dataset.toml`` of a data set: its targets, counts, options and hash."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict

from lightmeter.errors import UsageError
from lightmeter.files import open_regular, write_atomic
from lightmeter.labels.datasets.manifest import Split
from lightmeter.labels.targets.base import class_name_problem, equal_classes_problem
from lightmeter.plugins import unknown_name_message
from lightmeter.settings import first_error
from lightmeter.store.urls import StoreUrl
from lightmeter.text.names import folder_name, name_key, name_problem

SPEC_FILE = "dataset.toml"

_MAX_SPEC_BYTES = 10_000_000
_MAX_CLASSES = 100_000


def _check_name(name: str) -> str:
    """Return the name of a data set, which is the name of its folder."""
    problem = name_problem(name)
    if problem is None and name_key(folder_name(name)) != name_key(name):
        problem = "cannot be the name of a folder on every system"
    if problem is not None:
        raise ValueError(f"the name {name!r} {problem}")
    return name


def _check_store(url: str) -> str:
    return str(StoreUrl.parse(url)) if url else ""


def _check_class(name: str) -> str:
    problem = class_name_problem(name)
    if problem is not None:
        raise ValueError(f"the class name {name!r} {problem}")
    return name


def _check_split(split: dict[str, Any]) -> dict[str, Any]:
    try:
        _SPLIT.validate_python(split, strict=True)
    except ValidationError as error:
        raise ValueError(first_error(error).removesuffix(".")) from error
    return split


def _check_definition(definition: dict[str, Any]) -> dict[str, Any]:
    classes = definition.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(item, dict) and "name" in item for item in classes):
        raise ValueError("classes must be tables with a name")
    return definition


Name = Annotated[str, AfterValidator(_check_name)]
StoreName = Annotated[str, AfterValidator(_check_store)]
TargetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
ClassName = Annotated[str, AfterValidator(_check_class)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, StringConstraints(max_length=1000)]
LongText = Annotated[str, StringConstraints(max_length=100_000)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Definition = Annotated[dict[str, Any], AfterValidator(_check_definition)]


class _ExcludedClass(TypedDict):
    target: TargetName
    name: Text
    photographs: Count
    groups: Count


@with_config(ConfigDict(extra="forbid"))
class _SplitRecord(TypedDict, total=False):
    """Options and results of a split, as `lightmeter.labels.datasets.freeze` records them."""

    seed: Seed
    ratios: Annotated[list[Ratio], Field(min_length=3, max_length=3)]
    group_by: Annotated[list[Annotated[str, StringConstraints(pattern=r"^[a-z]{1,32}$")]], Field(max_length=16)]
    min_per_class: Count
    where: LongText
    folds: Count
    fold: Count
    holdout_source: Text
    undersample: bool
    undersampled: Count
    crop: Text
    groups: Count
    excluded_classes: list[_ExcludedClass]
    extends: dict[Literal["name", "manifest_sha256"], Text]
    like: dict[Literal["file", "sha256"], Text]
    packed: dict[Literal["name", "manifest_sha256"], Text]
    lightmeter: Text


_SPLIT = TypeAdapter(_SplitRecord)


@dataclass(frozen=True)
class TargetSpec:
    """One target of a data set.

    Attributes:
        name: Name, for example ``shutter``.
        version: Version of the definition that made the labels.
        classes: Classes in order; for an ordinal target in ascending order of `stops`.
        stops: Nominal number of each class for an ordinal target, otherwise empty.
        unit: Unit of the numbers, for example ``log2 s``; empty if there are none.
        multilabel: Whether a photograph can have several classes.
        determined_by: EXIF columns that reveal the class; shortcut baselines ignore them.
        summary: What the target is, in one line.
        definition: Other values of the definition file: bounds of the classes, scanners, minimum per class.
    """

    name: TargetName
    version: Text
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1, max_length=_MAX_CLASSES)]
    stops: tuple[FiniteFloat, ...] = ()
    unit: Text = ""
    multilabel: bool = False
    determined_by: Annotated[tuple[Text, ...], Field(max_length=100)] = field(default=(), compare=False)
    summary: LongText = field(default="", compare=False)
    definition: Definition = field(default_factory=dict)

    @property
    def ordinal(self) -> bool:
        """Whether the classes have an order and a number each."""
        return bool(self.stops)


@dataclass(frozen=True)
class Publication:
    """What a data set says about itself when it is published.

    Attributes:
        created_on: Date of the newest label, so that equal labels give equal files, as ``YYYY-MM-DD``.
        authors: Authors as in the setting ``project.authors``.
        licence: SPDX identifier of the licence of the compilation; empty if it has none of its own.
        url: Web page; empty if there is none.
    """

    created_on: Annotated[str, StringConstraints(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    authors: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    licence: Text = ""
    url: Text = ""


@dataclass(frozen=True)
class DatasetSpec:
    """Content of ``dataset.toml``.

    Attributes:
        name: Name of the data set.
        manifest_sha256: SHA-256 of ``manifest.parquet``; it identifies the data set.
        store: URL of the photo store; that of a folder is absolute or relative to the data set folder. Paths in the
            manifest are relative to the store. Empty for a pack, which holds its images.
        targets: At least one target.
        split: Options and results of the split.
        counts: Number of manifest rows by split.
        publication: Authors, licence and date.
    """

    name: Name
    manifest_sha256: str
    store: StoreName
    targets: Annotated[tuple[TargetSpec, ...], Field(min_length=1, max_length=100)]
    split: Annotated[dict[str, Any], AfterValidator(_check_split)] = field(default_factory=dict)
    counts: dict[Split, Count] = field(default_factory=dict)
    publication: Publication = Publication()

    def target(self, name: str) -> TargetSpec:
        """Return a target by name.

        Raises:
            UsageError: The data set has no such target.
        """
        for target in self.targets:
            if target.name == name:
                return target
        raise UsageError(unknown_name_message(f"target of {self.name}", name, [target.name for target in self.targets]))


_SPEC = TypeAdapter(DatasetSpec)


def write_spec(folder: Path, spec: DatasetSpec) -> None:
    """Write the spec of a data set into a folder."""
    write_atomic(folder / SPEC_FILE, tomli_w.dumps(_SPEC.dump_python(spec, mode="json", exclude_none=True)))


def read_spec(file: Path) -> DatasetSpec:
    """Read ``dataset.toml`` without the manifest.

    Raises:
        UsageError: The file is damaged.
    """
    try:
        with open_regular(file) as data:
            content = data.read(_MAX_SPEC_BYTES + 1)
        if len(content) > _MAX_SPEC_BYTES:
            raise UsageError(f"{file} has more than {_MAX_SPEC_BYTES:,} bytes.")
        spec = _SPEC.validate_python(tomllib.loads(content.decode()))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise UsageError(f"{file} is damaged: {key}: {problem['msg'].removeprefix('Value error, ')}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} is damaged: {error}.") from error
    if len({target.name for target in spec.targets}) < len(spec.targets):
        raise UsageError(f"{file} is damaged: two targets have the same name.")
    for target in spec.targets:
        if equal := equal_classes_problem(target.classes):
            raise UsageError(f"{file} is damaged: {equal}.")
        if len(target.stops) not in (0, len(target.classes)):
            raise UsageError(f"{file} is damaged: target {target.name} has not one number of stops for each class.")
    return spec
