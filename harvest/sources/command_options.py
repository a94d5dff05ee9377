"""A source's query model becomes the options of its command."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


def with_options(function: Callable[..., None], model: type[BaseModel]) -> Callable[..., None]:
    """Return a function for Typer whose parameters are a model's fields and the keyword parameters of ``function``.

    Args:
        function: takes ``query``, a dictionary of the fields' values, and keyword parameters of its own.
        model: of the query.
    """
    own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "query"]
    fields = [_parameter(name, field) for name, field in model.model_fields.items()]

    def command(**values: Any) -> None:
        function({name: values.pop(name) for name in model.model_fields}, **values)

    parameters = sorted([*fields, *own], key=lambda p: p.default is not inspect.Parameter.empty)
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = inspect.getdoc(model)
    return command


def option_of(name: str, field: FieldInfo) -> str:
    """Return how a field is written on the command line."""
    return name.upper() if _is_argument(field) else f"--{name.replace('_', '-')}"


def _is_argument(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("argument"))


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    declare = typer.Argument if _is_argument(field) else typer.Option
    default = field.get_default(call_default_factory=True, validated_data={})
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is PydanticUndefined else default,
        annotation=Annotated[field.annotation, declare(help=field.description)],
    )
