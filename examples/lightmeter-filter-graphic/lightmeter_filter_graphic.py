"""A filter that drops screenshots, charts and logos: a few colours cover most of the image."""

import numpy as np
from pydantic import Field

from lightmeter.harvest import KEEP, DecodedImage, Filter, Measurement, Measures, Section, Verdict


class GraphicSettings(Section):
    """Settings under ``[filters.graphic]``."""

    max_share: float = Field(0.75, gt=0, le=1, description="maximum share of pixels in the eight most common colours")


class Graphic(Filter[GraphicSettings]):
    name = "graphic"
    version = 1
    summary = "share of pixels in the most common colours: screenshots, charts, logos"
    Settings = GraphicSettings

    def measure(self, image: DecodedImage) -> Measurement:
        colours = image.reduced.reshape(-1, 3).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        _, counts = np.unique(colours, return_counts=True)
        return Measurement({"common_share": float(np.sort(counts)[-8:].sum() / colours.size)})

    def judge(self, measures: Measures) -> Verdict:
        return Verdict("drop", "graphic") if measures["common_share"] > self.settings.max_share else KEEP
