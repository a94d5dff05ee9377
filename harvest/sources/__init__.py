"""Sources of photographs, one module each, and the contract for sources of other packages."""

from lightmeter.harvest.sources.base import (
    Argument,
    Checkpoint,
    Cursor,
    InputFile,
    InputFolder,
    Medium,
    Option,
    Sighting,
    Source,
    SourceQuery,
    SourceRegion,
    SpiderSource,
)

__all__ = [
    "Argument",
    "Checkpoint",
    "Cursor",
    "InputFile",
    "InputFolder",
    "Medium",
    "Option",
    "Sighting",
    "Source",
    "SourceQuery",
    "SourceRegion",
    "SpiderSource",
]
