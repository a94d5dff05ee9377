"""SQLAlchemy models of the catalogue. Units are part of column names; times are UTC."""

from lightmeter.harvest.catalogue.models.base import Base, UTCDateTime
from lightmeter.harvest.catalogue.models.harvests import (
    HarvestRun,
    HostRecord,
    RateLimitRecord,
    RunState,
    SightingRecord,
    SightingState,
    Tombstone,
    UnreadableRecord,
    WorkerRecord,
    sighting_key,
    url_key,
)
from lightmeter.harvest.catalogue.models.images import DuplicateGroup, Exif, Image, Inspection, Region
from lightmeter.harvest.catalogue.models.labels import DatasetRecord, Label

__all__ = [
    "Base",
    "DatasetRecord",
    "DuplicateGroup",
    "Exif",
    "HarvestRun",
    "HostRecord",
    "Image",
    "Inspection",
    "Label",
    "RateLimitRecord",
    "Region",
    "RunState",
    "SightingRecord",
    "SightingState",
    "Tombstone",
    "UTCDateTime",
    "UnreadableRecord",
    "WorkerRecord",
    "sighting_key",
    "url_key",
]
