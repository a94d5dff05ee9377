"""Harvest: discover, download and inspect photographs; the result is the catalogue and the photo store.

Subclass `Source` or `SpiderSource` to add a source and `Filter` to add a filter; `open_catalogue` reads the result.
"""

from typing import TYPE_CHECKING

from lightmeter import lazy_exports

if TYPE_CHECKING:
    from lightmeter.harvest.catalogue.view import open_catalogue
    from lightmeter.harvest.filters.base import KEEP, Detection, Filter, Measurement, Measures, Verdict
    from lightmeter.harvest.filters.image import DecodedImage
    from lightmeter.harvest.sources.base import (
        Argument,
        Checkpoint,
        Cursor,
        DatedQuery,
        Option,
        Sighting,
        Source,
        SourceQuery,
        SourceRegion,
        SpiderSource,
        Unreadable,
        convert_record,
    )
    from lightmeter.settings import Section

__all__ = [
    "KEEP",
    "Argument",
    "Checkpoint",
    "Cursor",
    "DatedQuery",
    "DecodedImage",
    "Detection",
    "Filter",
    "Measurement",
    "Measures",
    "Option",
    "Section",
    "Sighting",
    "Source",
    "SourceQuery",
    "SourceRegion",
    "SpiderSource",
    "Unreadable",
    "Verdict",
    "convert_record",
    "open_catalogue",
]

__getattr__ = lazy_exports(
    __name__,
    {
        **dict.fromkeys(__all__, "sources.base"),
        **dict.fromkeys(
            ("KEEP", "Detection", "Filter", "Measurement", "Measures", "Section", "Verdict"), "filters.base"
        ),
        "DecodedImage": "filters.image",
        "open_catalogue": "catalogue.view",
    },
)
