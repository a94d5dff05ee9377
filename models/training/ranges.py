"""In which ranges a model's training photographs lie, so that it can say of others that they do not."""

from collections.abc import Sequence

import numpy as np

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.image_stats import NAMES, image_statistics
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import Box, open_image
from lightmeter.models.training.loader import Row, each_photograph

_ENOUGH = 400  # photographs, evenly chosen
_PERCENTILES = (1, 99)


def ranges_of(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Return the 1st and the 99th percentile of each trait over photographs, by its name.

    Args:
        predictor: that reads them.
        dataset: whose photographs they are.
        rows: of its training split.
    """

    def traits(data: bytes, box: Box | None) -> dict[str, float]:
        photograph = predictor.preprocess(data, box)
        with open_image(data) as header:
            return image_statistics(header, photograph)

    chosen = rows[:: -(-len(rows) // _ENOUGH)]
    seen = [found for _, found in each_photograph(dataset, chosen, traits, "ranges") if isinstance(found, dict)]
    by_name = {name: [found[name] for found in seen if name in found] for name in NAMES}
    return {name: _range(values) for name, values in by_name.items() if values}


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, _PERCENTILES)
    return round(float(low), 1), round(float(high), 1)
