"""A recipe: which network, what it is fed, how it is trained; a TOML file, built in or a person's own."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.settings import first_problem
from models.architectures import BUILT_IN
from models.spec import Preprocessing, preprocessing_from


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Training(_Strict):
    """How the weights are found.

    Attributes:
        penalties: strengths of the L2 penalty on a probe's weights that are tried; validation chooses.
        class_weights: let every class count the same, however many photographs it has.
    """

    penalties: list[float] = Field([1.0, 0.1, 0.01], min_length=1)
    class_weights: bool = True


class Recipe(_Strict):
    """What a recipe's TOML says.

    Attributes:
        name: of the recipe; a file's name without its suffix.
        summary: one sentence.
        source: who described it.
        method: ``probe`` computes a frozen trunk's features once and fits linear heads to them.
        architecture: the plugin that builds the network.
        weights: that the trunk starts from; empty for random ones.
        architecture_options: for that plugin.
        preprocessing: fields of `Preprocessing`.
        training: how the weights are found.
    """

    name: str
    summary: str
    source: str
    method: Literal["probe"]
    architecture: str
    weights: str = ""
    architecture_options: dict[str, Any] = {}
    preprocessing: dict[str, Any] = {}
    training: Training = Training()

    @field_validator("preprocessing")
    @classmethod
    def _possible(cls, values: dict[str, Any]) -> dict[str, Any]:
        try:
            preprocessing_from(values)
        except TypeError as error:
            raise ValueError(str(error)) from error
        return values

    @property
    def cut(self) -> Preprocessing:
        """The preprocessing, with every default filled in."""
        return preprocessing_from(self.preprocessing)


def names() -> list[str]:
    """Return the names of the built-in recipes."""
    found = (Path(entry.name) for entry in resources.files("models.recipes").iterdir())
    return sorted(path.stem for path in found if path.suffix == ".toml")


def read_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """Read a built-in recipe by its name, or a person's own by its path.

    Args:
        name: of a recipe, or a path that ends in ``.toml``.
        settings: ``key=value`` each, the key as in the TOML: ``preprocessing.patches=4``, or ``patches=4``.

    Raises:
        UsageError: if there is no such recipe, or something in it or in the settings is wrong.
    """
    try:
        values = {**tomllib.loads(_text(name)), "name": Path(name).stem}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The recipe {name} is not valid TOML: {error}.") from error
    for setting in settings:
        _set(values, setting)
    try:
        recipe = Recipe(**values)
    except ValidationError as error:
        raise UsageError(f"The recipe {name}: {first_problem(error)}") from error
    if recipe.architecture not in BUILT_IN:
        plugins.get("architectures", recipe.architecture)
    return recipe


def _text(name: str) -> str:
    if name.endswith(".toml"):
        try:
            return Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"The recipe {name} cannot be read: {error.strerror}.") from error
    if name not in names():
        raise UsageError(plugins.unknown("recipe", name, names()))
    return resources.files("models.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _set(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals:
        raise UsageError(f"--set wants key=value, and '{setting}' has no '='.")
    *tables, last = _full_key(key.strip()).split(".")
    place = values
    for table in tables:
        place = place.setdefault(table, {})
    place[last] = _value(text.strip())


def _full_key(key: str) -> str:
    known = [
        *(f"training.{name}" for name in Training.model_fields),
        *(f"preprocessing.{name}" for name in Preprocessing.__dataclass_fields__),
        *("architecture", "weights"),
    ]
    if key.startswith("architecture_options.") or key in known:
        return key
    full = [name for name in known if name.endswith(f".{key}")]
    if not full:
        short = [name.rsplit(".", 1)[-1] for name in known]
        raise UsageError(plugins.unknown("recipe setting", key, short))
    return full[0]


def _value(text: str) -> Any:
    """Return a value as TOML has it; what is no TOML value is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
