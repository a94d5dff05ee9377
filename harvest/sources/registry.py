"""The installed sources, and the command-line options that their queries define."""

import inspect
import os
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lightmeter import plugins
from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.base import Source, SourceQuery
from lightmeter.plugins import Plugin

RESERVED_NAMES = frozenset(
    {"limit", "metadata_only", "require", "licence", "refresh", "simulate", "project", "json", "quiet", "debug", "help"}
)
"""Names of query fields that would hide an option of every run, or of every command."""


def list_sources() -> list[dict[str, Any]]:
    """Return every installed source: its distribution, its options, and whether it is ready to run."""
    return [_source_row(plugin) for plugin in plugins.installed("sources").values()]


def _source_row(plugin: Plugin) -> dict[str, Any]:
    row = {"name": plugin.name, "version": plugin.version, "origin": plugin.distribution}
    try:
        source = load_source(plugin)
    except LightmeterError as error:
        unusable = {"summary": str(error), "needs_key": False, "ready": False, "options": [], "missing_keys": []}
        return row | unusable | {"problem": str(error)}
    missing = [key for key in source.keys if not os.environ.get(key)]
    return row | {
        "summary": source.summary,
        "needs_key": bool(source.keys),
        "ready": not missing,
        "options": [option_name(name, field) for name, field in source.Query.model_fields.items()],
        "missing_keys": missing,
        "problem": None,
    }


def load_source(plugin: Plugin) -> type[Source]:
    """Import a source and check its contract.

    Raises:
        LightmeterError: The source cannot be imported, or breaks the contract; the message names its package.
    """
    source = plugin.load()
    problem = _contract_problem(source)
    if problem:
        raise LightmeterError(
            f"The source '{plugin.name}' of {plugin.distribution} {plugin.version} {problem}; "
            "update or uninstall that package."
        )
    loaded: type[Source] = source
    return loaded


def _contract_problem(source: Any) -> str | None:
    """Return how a plugin breaks the contract of sources, or None."""
    if not (isinstance(source, type) and issubclass(source, Source)):
        return "is not a subclass of Source"
    for name in ("name", "summary"):
        if not isinstance(getattr(source, name, None), str):
            return f"has no {name}"
    query: Any = source.Query
    if not (isinstance(query, type) and issubclass(query, SourceQuery)):
        return "has a Query that is not a subclass of SourceQuery"
    reserved = [option_name(name, field) for name, field in query.model_fields.items() if name in RESERVED_NAMES]
    if reserved:
        return f"declares the option {reserved[0]}, which every source has"
    return None


def provider_of(source: Source | None) -> str:
    """Return name and package of a source, for messages about its errors."""
    plugin = plugins.installed("sources").get(getattr(source, "name", ""))
    if plugin is None:
        return f"source {type(source).__qualname__}"
    return f"source '{plugin.name}' of {plugin.distribution} {plugin.version}"


def with_options(function: Callable[..., None], model: type[BaseModel]) -> Callable[..., None]:
    """Return a Typer command whose options are a query's fields and the keyword parameters of a function.

    Args:
        function: Takes ``query``, a dictionary of the fields' values, and keyword parameters of its own.
        model: Model of the query.
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


def option_name(name: str, field: FieldInfo) -> str:
    """Return how a query field is written on the command line: ``PATH`` or ``--licence-ids``."""
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
        annotation=Annotated[_plain_type(field.annotation), declare(help=field.description)],
    )


def _plain_type(annotation: Any) -> Any:
    """Return ``Path | None`` for ``InputFile | None``: Typer does not know pydantic's annotations."""
    optional = [arg for arg in get_args(annotation) if get_origin(arg) is Annotated]
    return get_args(optional[0])[0] | None if optional else annotation
