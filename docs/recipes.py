"""The reference of recipe settings in docs/recipes.md, made from the models that read recipes."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import tomli_w
from pydantic import BaseModel, TypeAdapter

from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.models.training.methods import Boosting, Network, Phase, Probe
from lightmeter.models.training.recipe import Recipe, list_recipes, read_recipe

INTRODUCTION = """\
# Recipes

A recipe is a TOML file: an architecture, its preprocessing and its training. Copy a built-in one, or change settings
for one training with `--set KEY=VALUE`; keys may be shortened to their last part (`--set patches=4`). Every run keeps
the recipe that it was trained with; repeat it with `lightmeter models train runs/NAME/recipe.toml --data DATASET`.

```console
$ lightmeter models train haoran-cnn --data iso-demo --set schedule=cosine --set warmup_epochs=1 --set ema_decay=0.999
$ lightmeter models train my-recipe.toml --data iso-demo --logger tensorboard
```

`flip` and `crop_pixels` move pixels and leave their values unchanged (`crop_pixels` also moves the 8 by 8 grid of
JPEG).
`colour` and `blur` are off, because brightness, contrast and sharpness are what a setting leaves in a photograph: a
model that learns to ignore them loses this evidence.

## Watch a training

`history.csv` in the run in progress (`runs/NAME.partial`) has a row for each epoch, and without a terminal a line is
printed for each. `--logger tensorboard`, `mlflow` or `wandb` (setting `[models] loggers`) also logs epochs and the
metrics on validation to an experiment tracker; each is an extra. TensorBoard writes to the folder `tensorboard` of
the project, MLflow to `MLFLOW_TRACKING_URI` or else to `mlflow.db`, Weights & Biases to its service if
`WANDB_API_KEY` is set, or else offline to the folder `wandb`. A tracker that fails does not stop a training.
"""
SECTIONS = {
    "Recipe": Recipe,
    "`[preprocessing]`": Preprocessing,
    '`[training]` with `method = "network"`': Network,
    "`[[training.phases]]`": Phase,
    '`[training]` with `method = "probe"`': Probe,
    '`[training]` with `method = "boosting"`': Boosting,
}


def recipes_reference() -> str:
    """Return the tables of the built-in recipes and of all settings."""
    parts = [INTRODUCTION, "\n## Built-in recipes\n\n| recipe | description |\n|---|---|\n"]
    parts += [f"| `{name}` | {read_recipe(name).summary} |\n" for name in list_recipes()]
    for heading, model in SECTIONS.items():
        summary = " ".join((inspect.getdoc(model) or "").partition("\n\n")[0].split())
        parts.append(f"\n## {heading}\n\n{summary}\n\n| setting | values | default | meaning |\n|---|---|---|---|\n")
        meanings = _meanings(model)
        parts += [_row(name, *field, meanings[name]) for name, field in _fields(model)]
    return "".join(parts)


def _fields(model: type) -> Iterator[tuple[str, tuple[str, Any]]]:
    """Yield the name, values and default of each setting; `MISSING` if it is obligatory."""
    properties = TypeAdapter(model).json_schema()["properties"]
    if issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            default = MISSING if field.is_required() else field.get_default(call_default_factory=True)
            yield name, (_values(properties[name]), default)
        return
    for item in fields(model):
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        yield item.name, (_values(properties[item.name]), default)


def _values(schema: dict[str, Any]) -> str:
    """Return the values that a JSON schema allows, for people."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_values, schema["anyOf"])))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    names = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    bounds = [f"{sign} {schema[name]:,}" for name, sign in names.items() if name in schema]
    kind = {"array": "list", "object": "table", "string": "text", "boolean": "true or false"}
    return " ".join([kind.get(schema.get("type", ""), schema.get("type", "table")), ", ".join(bounds)]).strip()


def _meanings(model: type) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of each attribute."""
    meanings = {"method": "How the weights are fitted."}
    for base in reversed(model.__mro__[:-1]):
        section = (base.__doc__ or "").partition("Attributes:")[2].partition("\n\n")[0]
        for entry in re.split(r"\n {8}(?=\w+: )", section)[1:]:
            name, _, text = entry.partition(": ")
            meanings[name] = " ".join(text.split()).replace("``", "`")
    return meanings


def _row(name: str, values: str, default: Any, meaning: str) -> str:
    if default is MISSING:
        shown = "required"
    elif isinstance(default, BaseModel) or is_dataclass(default):
        shown = "see below"
    else:
        toml = tomli_w.dumps({"x": default}).partition(" = ")[2]
        shown = (
            "none"
            if default in ("", None, {})
            else f"`{' '.join(toml.split()).replace('[ ', '[').replace(', ]', ']')}`"
        )
    return f"| `{name}` | {values} | {shown} | {meaning} |\n"
