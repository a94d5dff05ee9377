"""The contract of installed sources: a plugin that breaks it is named with its package."""

from types import SimpleNamespace
from typing import Any

import pytest

from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.base import Option, Source, SourceQuery
from lightmeter.harvest.sources.registry import RESERVED_NAMES, load_source
from lightmeter.plugins import Plugin


def source_with(**fields: Any) -> type[Source]:
    """Return a source whose query has these fields."""
    annotations = dict.fromkeys(fields, "int | None")
    query = type("Query", (SourceQuery,), {"__annotations__": annotations, **fields})
    return type("Museum", (Source,), {"name": "museum", "summary": "museum", "Query": query})


def load(source: object) -> type[Source]:
    entry_point: Any = SimpleNamespace(load=lambda: source)
    return load_source(Plugin("museum", "lightmeter-museum", "1.0", entry_point))


@pytest.mark.filterwarnings("ignore:Field name")
@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_option_of_every_run_is_refused(name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(LightmeterError, match=rf"'museum' of lightmeter-museum 1\.0 declares the option {option}\b"):
        load(source_with(**{name: Option(None, "A number.")}))


@pytest.mark.parametrize("source", [None, dict, type("Nameless", (Source,), {"summary": "x"})])
def test_what_is_no_source_is_refused(source: object) -> None:
    with pytest.raises(LightmeterError, match=r"lightmeter-museum 1\.0"):
        load(source)


def test_source_with_other_options_is_loaded() -> None:
    source = source_with(pages=Option(None, "Pages."))
    assert load(source) is source
