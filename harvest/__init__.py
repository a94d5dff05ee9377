"""Harvest: discover, download and inspect photographs; the result is the catalogue and the photo store.

Subclass `Source` or `SpiderSource` to add a source and `Filter` to add a filter; `open_catalogue` reads the result.
"""

from typing import TYPE_CHECKING

from lightmeter.exports import lazy_exports

if TYPE_CHECKING:
    from lightmeter.harvest.catalogue.view import open_catalogue
    from lightmeter.harvest.filters.base import Filter, Measurement, Verdict
    from lightmeter.harvest.sources.base import (
        Argument,
        Checkpoint,
        Option,
        PhotoItem,
        Source,
        SourceQuery,
        SpiderSource,
    )

__all__ = [
    "Argument",
    "Checkpoint",
    "Filter",
    "Measurement",
    "Option",
    "PhotoItem",
    "Source",
    "SourceQuery",
    "SpiderSource",
    "Verdict",
    "open_catalogue",
]

__getattr__ = lazy_exports(
    __name__,
    {
        **dict.fromkeys(__all__, "sources.base"),
        **dict.fromkeys(("Filter", "Measurement", "Verdict"), "filters.base"),
        "open_catalogue": "catalogue.view",
    },
)
