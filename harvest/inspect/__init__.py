"""Looking at photographs: one decode feeds every filter."""

from harvest.inspect.base import Filter, Finding, Limits, Measured, Measures, Region, Verdict
from harvest.inspect.engine import Inspected, Plan, inspect
from harvest.inspect.picture import Picture
from harvest.inspect.plugins import load_filters

__all__ = [
    "Filter",
    "Finding",
    "Inspected",
    "Limits",
    "Measured",
    "Measures",
    "Picture",
    "Plan",
    "Region",
    "Verdict",
    "inspect",
    "load_filters",
]
