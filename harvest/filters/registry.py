"""The installed filters, with their settings."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.harvest.filters.base import Filter
from lightmeter.settings import first_error


def load_filters(settings: Mapping[str, Mapping[str, Any]], names: Iterable[str] | None = None) -> list[Filter[Any]]:
    """Return filters in alphabetical order.

    Args:
        settings: thresholds by filter name, as ``lightmeter.toml`` has them under ``[filters.NAME]``.
        names: the filters wanted; None for all that are installed.

    Raises:
        UsageError: if a name is unknown, or a threshold is wrong.
    """
    for name in settings:
        plugins.get("filters", name)
    wanted = plugins.installed("filters") if names is None else sorted(set(names))
    return [_configured(name, settings.get(name, {})) for name in wanted]


def _configured(name: str, values: Mapping[str, Any]) -> Filter[Any]:
    kind: type[Filter[Any]] = plugins.get("filters", name).load()
    try:
        return kind(kind.Settings(**values))
    except ValidationError as error:
        raise UsageError(f"Settings of the filter '{name}': {first_error(error)}") from error
