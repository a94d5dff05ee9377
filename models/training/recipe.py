"""Recipes: the architecture, preprocessing and training method of a model, as TOML files."""

import inspect
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from lightmeter import __version__
from lightmeter.errors import UsageError
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.models.architectures import get_builder, list_architectures
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target, preprocessing_from
from lightmeter.models.training.methods import Probe, StrictSettings, Training
from lightmeter.plugins import unknown_name_message
from lightmeter.settings import first_error
from lightmeter.text.documents import read_toml

RECIPE_FILE = "recipe.toml"
"""Recipe of a run or of a search."""


def _preprocessing(values: Any) -> Preprocessing:
    try:
        return values if isinstance(values, Preprocessing) else preprocessing_from(values)
    except TypeError as error:  # pydantic reports ValueError alone
        raise ValueError(str(error)) from error


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Check that the options of an architecture, which can be anything in TOML, hold neither NaN nor infinity."""
    for name, value in values.items():
        if not all(math.isfinite(number) for number in _floats(value)):
            raise ValueError(f"{name} must be a finite number")
    return values


def _floats(node: Any) -> Iterator[float]:
    """Yield every floating-point number in nested tables and lists."""
    if isinstance(node, float):
        yield node
    elif isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _floats(child)


class Recipe(StrictSettings):
    """A recipe.

    Attributes:
        name: Name of the recipe (default: that of its file without the suffix).
        summary: One sentence.
        source: Who described it.
        architecture: Name of the architecture.
        weights: Pretrained weights of the backbone: a name, a path or a URL; empty for random weights.
        weights_sha256: SHA-256 of the file at that path or URL.
        view_weights: Pretrained weights of the view's backbone, if it has its own.
        view_weights_sha256: SHA-256 of their file.
        architecture_options: Keyword arguments of the architecture's builder.
        preprocessing: How a photograph becomes the network's input.
        training: How the weights are fitted.

    Example:
        >>> recipe = read_recipe("patches", ["patches=4"])
        >>> recipe.architecture, recipe.preprocessing.patches
        ('efficientnet-lite0', 4)
    """

    name: str
    summary: str
    source: str
    architecture: str
    weights: str = ""
    weights_sha256: str = ""
    view_weights: str = ""
    view_weights_sha256: str = ""
    architecture_options: Annotated[dict[str, Any], AfterValidator(_finite)] = Field(default_factory=dict)
    preprocessing: Annotated[Preprocessing, BeforeValidator(_preprocessing)] = Preprocessing()
    training: Annotated[Training, Field(discriminator="method")]


def flat_settings(recipe: Recipe) -> dict[str, Any]:
    """Return every setting of a recipe by its full key, such as ``training.batch_size``."""
    values = recipe.model_dump(mode="json", exclude={"name", "summary", "source"})
    return {".".join(path): value for path, value in _leaves(values)}


def list_recipes() -> list[str]:
    """Return the names of the built-in recipes."""
    files = (Path(entry.name) for entry in resources.files("lightmeter.models.recipes").iterdir())
    return sorted(file.stem for file in files if file.suffix == ".toml")


def read_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """Read a built-in recipe by its name, or any recipe by its path.

    Args:
        name: Name of a recipe, or a path that ends in ``.toml``.
        settings: Changes ``KEY=VALUE``. A key may be shortened to its last part: ``preprocessing.patches=4`` or
            ``patches=4``.

    Raises:
        UsageError: The recipe does not exist, or a value in it or in the settings is invalid.
    """
    values = {"name": Path(name).stem, **_content(name)}
    recipe = _validated(name, values)
    if settings:
        values = recipe.model_dump(mode="json")
        for setting in settings:
            _set(values, setting)
        recipe = _validated(name, values)
    if recipe.architecture not in list_architectures():
        raise UsageError(unknown_name_message("architecture", recipe.architecture, list_architectures()))
    return recipe


def _validated(name: str, values: dict[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"The recipe {name}: {first_error(error)}") from error


def _content(name: str) -> dict[str, Any]:
    if name.lower().endswith(".toml"):
        return read_toml(Path(name))
    if name not in list_recipes():
        raise UsageError(unknown_name_message("recipe", name, list_recipes()))
    return tomllib.loads(resources.files("lightmeter.models.recipes").joinpath(f"{name}.toml").read_text("utf-8"))


def _set(values: dict[str, Any], setting: str) -> None:
    """Apply one ``KEY=VALUE`` to the values of a recipe."""
    key, equals, text = (part.strip() for part in setting.partition("="))
    if not equals:
        raise UsageError(f"Invalid --set '{setting}': use KEY=VALUE.")
    *parents, last = _full_key(key, values)
    node: Any = values
    for parent in parents:
        node = node[int(parent) if isinstance(node, list) else parent]
    node[int(last) if isinstance(node, list) else last] = parse_value(text)


def _full_key(key: str, values: dict[str, Any]) -> tuple[str, ...]:
    """Return the path of a setting whose key may be shortened to its last parts."""
    path = tuple(key.split("."))
    if path[0] == "architecture_options" and len(path) > 1:
        return path
    settable = {name: value for name, value in values.items() if name not in {"name", "summary", "source"}}
    paths = list(_paths(settable))
    matches = [full for full in paths if full == path] or [full for full in paths if full[-len(path) :] == path]
    if not matches:
        options = _builder_options(values["architecture"])
        if key in options:
            return ("architecture_options", key)
        raise UsageError(unknown_name_message("recipe setting", key, [*options, *(full[-1] for full in paths)]))
    if len(matches) > 1:
        keys = ", ".join(".".join(match) for match in matches)
        raise UsageError(f"Ambiguous --set {key}: use one of {keys}.")
    return matches[0]


def _paths(node: Any) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value in nested tables and lists."""
    children = enumerate(node) if isinstance(node, list) else node.items() if isinstance(node, Mapping) else ()
    for key, child in children:
        yield (str(key),)
        yield from ((str(key), *path) for path in _paths(child))


def _leaves(node: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the value of every setting that is not a table or list of tables."""
    children = enumerate(node) if isinstance(node, list) else node.items() if isinstance(node, Mapping) else ()
    for key, child in children:
        nested = isinstance(child, Mapping) or (isinstance(child, list) and any(isinstance(c, Mapping) for c in child))
        below = _leaves(child) if nested else iter([((), child)])
        yield from (((str(key), *path), value) for path, value in below)


def _builder_options(architecture: str) -> list[str]:
    """Return the names of an architecture's options."""
    try:
        parameters = inspect.signature(get_builder(architecture)).parameters.values()
    except LookupError:
        return []
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def parse_value(text: str) -> Any:
    """Return a TOML value, or the text itself if it is not TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def model_spec(recipe: Recipe, name: str, targets: Sequence[TargetSpec], data: Mapping[str, Any]) -> ModelSpec:
    """Return the specification of a model that a recipe trains; its temperatures are 1.

    Args:
        recipe: The recipe.
        name: Name of the run.
        targets: What the model predicts.
        data: ``name`` and ``manifest_sha256`` of the training data.

    Raises:
        ValueError: A value of the specification is impossible.
    """
    return ModelSpec(
        name=name,
        version="1.0",
        lightmeter=__version__,
        recipe=recipe.name,
        architecture=recipe.architecture,
        architecture_options=recipe.architecture_options,
        preprocessing=recipe.preprocessing,
        targets=tuple(
            Target(target.name, target.classes, target.stops, target.unit, multilabel=target.multilabel)
            for target in targets
        ),
        data=data,
    )


def training_engine(recipe: Recipe, engine: EngineName | None) -> EngineName | None:
    """Return the engine of a training; only the features of probes can be computed by another engine than torch.

    Raises:
        UsageError: The recipe trains its network, and the user asks for another engine.
    """
    if isinstance(recipe.training, Probe):
        return engine
    if engine not in {None, "torch"}:
        raise UsageError(f"The recipe {recipe.name} is trained with torch; --engine {engine} is for probes.")
    return "torch"
