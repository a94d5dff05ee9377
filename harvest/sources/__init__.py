"""Sources of photographs, one file each; other packages add theirs as entry points of ``lightmeter.sources``."""

from harvest.sources.base import Argument, Checkpoint, Option, Sighting, Source, SourceQuery, SpiderSource, ToldRegion

__all__ = ["Argument", "Checkpoint", "Option", "Sighting", "Source", "SourceQuery", "SpiderSource", "ToldRegion"]
