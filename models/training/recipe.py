"""A recipe: which network, what it is fed, how it is trained; a TOML file, built in or a person's own."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.models.architectures import BUILT_IN
from lightmeter.models.runtime.spec import Preprocessing, preprocessing_from
from lightmeter.settings import first_error


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Probe(_Strict):
    """Compute a frozen trunk's features once, and fit linear heads to them.

    Attributes:
        penalties: strengths of the L2 penalty on the weights that are tried; validation chooses.
        class_weights: let every class count the same, however many photographs it has.
        soft_target_std: Standard deviation in stops of Gaussian soft targets, for ordinal targets; 0 for hard targets.
        folds: choose penalty and temperature by so many folds of training and validation together, on which the heads
            are fitted in the end, once validation is scored; 0 lets validation choose.
        random_intercept_variances: Variances of a group's random intercept, in units of the residual variance, that are
            tried with each penalty; targets in stops then get a linear mixed model, otherwise softmax regression.
    """

    method: Literal["probe"]
    penalties: list[float] = Field([1.0, 0.1, 0.01], min_length=1)
    class_weights: bool = True
    soft_target_std: float = Field(0.0, ge=0)
    folds: int = Field(0, ge=0)
    random_intercept_variances: list[Annotated[float, Field(ge=0)]] = []

    @field_validator("folds")
    @classmethod
    def _several(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold is none; let folds be 0, or 2 and more")
        return folds

    @model_validator(mode="after")
    def _offsets_by_folds(self) -> "Probe":
        if self.random_intercept_variances and not self.folds:
            raise ValueError("random_intercept_variances are chosen by folds; set folds as well")
        return self


class Phase(_Strict):
    """A stretch of training.

    Attributes:
        epochs: at most; training stops early when validation no longer improves.
        learning_rate: of the optimiser.
        freeze: parts of the network, by the beginning of their parameters' names, that stay as they are.
        freeze_fraction: the share of the trunk's parameters, counted from the picture on, that stay as they are too.
    """

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    freeze: list[str] = []
    freeze_fraction: float = Field(0.0, ge=0, le=1)


class Network(_Strict):
    """Train a network by gradient descent.

    Attributes:
        phases: one after the other; each begins from the best weights of the one before.
        optimiser: ``adamw`` shrinks the weights apart from the gradient (I. Loshchilov and F. Hutter, ICLR 2019);
            ``adam`` takes the same number as an L2 penalty of the loss (D. Kingma and J. Ba, ICLR 2015).
        batch_size: photographs a step, over all devices.
        weight_decay: how strongly the weights are shrunk.
        class_weights: let every class count the same, however many photographs it has.
        soft_target_std: Standard deviation in stops of Gaussian soft targets, for ordinal targets; 0 for hard targets.
        flip: mirror photographs at random.
        patience: epochs without a lower validation loss after which a phase ends.
        cache_activations: compute what a frozen trunk sees of each photograph once, and train on that; then nothing is
            mirrored.
        precision: ``bfloat16`` computes so where the GPU can.
        channels_last: keep the channels of a pixel side by side in memory while training.
        compile: let torch compile the network first.
    """

    method: Literal["network"]
    phases: list[Phase] = Field(min_length=1)
    optimiser: Literal["adamw", "adam"] = "adamw"
    batch_size: int = Field(32, ge=2)
    weight_decay: float = Field(0.0, ge=0)
    class_weights: bool = True
    soft_target_std: float = Field(0.0, ge=0)
    flip: bool = True
    patience: int = Field(5, ge=1)
    cache_activations: bool = False
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    channels_last: bool = True
    compile: bool = False

    @model_validator(mode="after")
    def _frozen_if_encoded(self) -> "Network":
        if self.cache_activations and any("backbone" not in phase.freeze for phase in self.phases):
            raise ValueError("cache_activations needs the trunk frozen in every phase: freeze = ['backbone']")
        return self


class Boosting(_Strict):
    """Gradient boosting of decision trees on measures of a photograph.

    Attributes:
        learning_rate: what each tree counts.
        class_weights: let every class count the same, however many photographs it has.
    """

    method: Literal["boosting"]
    learning_rate: float = Field(0.05, gt=0)
    class_weights: bool = True


Training = Probe | Network | Boosting


class Recipe(_Strict):
    """What a recipe's TOML says.

    Attributes:
        name: of the recipe; a file's name without its suffix.
        summary: one sentence.
        source: who described it.
        architecture: the plugin that builds the network.
        weights: that the trunk starts from: a name, a path or a URL; empty for random ones.
        weights_sha256: of the file at that path or URL.
        view_weights: likewise, for the trunk that sees the view, where it is another.
        view_weights_sha256: of their file.
        architecture_options: for that plugin.
        preprocessing: fields of `Preprocessing`.
        training: how the weights are found.
    """

    name: str
    summary: str
    source: str
    architecture: str
    weights: str = ""
    weights_sha256: str = ""
    view_weights: str = ""
    view_weights_sha256: str = ""
    architecture_options: dict[str, Any] = {}
    preprocessing: dict[str, Any] = {}
    training: Annotated[Training, Field(discriminator="method")]

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
    found = (Path(entry.name) for entry in resources.files("lightmeter.models.recipes").iterdir())
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
        raise UsageError(f"The recipe {name}: {first_error(error)}") from error
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
        raise UsageError(plugins.unknown_name_message("recipe", name, names()))
    return resources.files("lightmeter.models.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _set(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals:
        raise UsageError(f"--set wants key=value, and '{setting}' has no '='.")
    place: Any = values
    *tables, last = _full_key(key.strip(), values).split(".")
    for table in tables:
        place = place[int(table)] if isinstance(place, list) else place.setdefault(table, {})
    place[last] = _value(text.strip())


def _full_key(key: str, values: dict[str, Any]) -> str:
    """Return the whole of a key that a person may have shortened to its last part."""
    known = ["architecture", "weights", "weights_sha256", "view_weights", "view_weights_sha256"]
    known += [f"preprocessing.{name}" for name in Preprocessing.__dataclass_fields__]
    known += [f"architecture_options.{name}" for name in values.get("architecture_options", {})]
    training = values.get("training", {})
    for method in (Probe, Network, Boosting):
        if training.get("method") == method.__name__.lower():
            known += [f"training.{name}" for name in method.model_fields]
    phases = len(training.get("phases", []))
    known += [f"training.phases.{number}.{name}" for number in range(phases) for name in Phase.model_fields]
    full = [name for name in known if name == key or name.endswith(f".{key}")]
    if len(full) == 1:
        return full[0]
    if full:
        raise UsageError(f"--set {key} could be any of {', '.join(full)}; write it in full.")
    raise UsageError(plugins.unknown_name_message("recipe setting", key, [name.rsplit(".", 1)[-1] for name in known]))


def _value(text: str) -> Any:
    """Return a value as TOML has it; what is no TOML value is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
