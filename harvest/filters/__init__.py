"""Looking at photographs: one decode feeds every filter."""

from lightmeter.harvest.filters.base import Box, DecodeLimits, Filter, FilterResult, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.pipeline import InspectionPlan, InspectionResult, inspect
from lightmeter.harvest.filters.registry import load_filters

__all__ = [
    "Box",
    "DecodeLimits",
    "DecodedImage",
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
