"""Tests of the filter ``graphic``."""

import io

import pytest
from lightmeter_filter_graphic import Graphic
from PIL import Image, ImageDraw

from lightmeter.testing import FilterTests


class TestGraphic(FilterTests):
    filter = Graphic
    settings = {"max_share": 0.9}

    @pytest.fixture
    def dropped(self) -> bytes:
        """A bar chart."""
        chart = Image.new("RGB", (320, 240), "white")
        for bar in range(4):
            ImageDraw.Draw(chart).rectangle((20 + 80 * bar, 200 - 40 * bar, 60 + 80 * bar, 220), fill="navy")
        file = io.BytesIO()
        chart.save(file, "PNG")
        return file.getvalue()
