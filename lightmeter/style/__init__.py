"""The look of pages and plots: one style sheet, one frame for documents, one style of matplotlib."""

from pathlib import Path

STYLE_SHEET = Path(__file__).with_name("style.css")
"""The style sheet of every page."""

ICON = Path(__file__).with_name("icon.svg")
"""The icon of every page."""
