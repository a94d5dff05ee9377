"""Filters: measure images, judge the measures; each image is decoded once for all filters."""

from lightmeter.harvest.filters.base import (
    KEEP,
    Detection,
    Filter,
    FilterResult,
    Measurement,
    Measures,
    Verdict,
)
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.pipeline import DecodeLimits, InspectionPlan, InspectionResult, inspect, load_filters

__all__ = [
    "KEEP",
    "DecodeLimits",
    "DecodedImage",
    "Detection",
    "Filter",
    "FilterResult",
    "InspectionPlan",
    "InspectionResult",
    "Measurement",
    "Measures",
    "Verdict",
    "inspect",
    "load_filters",
]
