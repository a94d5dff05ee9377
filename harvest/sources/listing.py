"""What ``lightmeter harvest sources`` shows."""

import os
from typing import Any

from lightmeter import plugins
from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.base import Source
from lightmeter.harvest.sources.command_options import option_of
from lightmeter.plugins import Plugin


def list_sources() -> list[dict[str, Any]]:
    """Return every installed source: where it comes from, its options, and whether it can run here."""
    return [_row(plugin) for plugin in plugins.installed("sources").values()]


def _row(plugin: Plugin) -> dict[str, Any]:
    row = {"name": plugin.name, "version": plugin.version, "origin": plugin.distribution}
    try:
        source: type[Source] = plugin.load()
    except LightmeterError as error:
        broken = {
            "summary": str(error),
            "needs_key": False,
            "ready": False,
            "options": [],
            "missing_keys": [],
        }
        return row | broken | {"problem": str(error)}
    missing = [key for key in source.keys if not os.environ.get(key)]
    return row | {
        "summary": source.summary,
        "needs_key": bool(source.keys),
        "ready": not missing,
        "options": [option_of(name, field) for name, field in source.Query.model_fields.items()],
        "missing_keys": missing,
        "problem": None,
    }
