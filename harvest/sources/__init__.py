"""Sources of photographs, one file each; other packages add theirs as entry points of ``lightmeter.sources``."""

from lightmeter.harvest.sources.base import (
    Argument,
    Checkpoint,
    Option,
    PhotoItem,
    Source,
    SourceQuery,
    SourceRegion,
    SpiderSource,
)

__all__ = ["Argument", "Checkpoint", "Option", "PhotoItem", "Source", "SourceQuery", "SourceRegion", "SpiderSource"]
