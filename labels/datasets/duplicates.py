"""Near-identical pictures among the photographs of a data set."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lightmeter.harvest.filters.perceptual_hash import group_by_hamming_radius


def near_duplicates(hashes: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which photographs have a perceptual hash, and for each of them the number of its group.

    Args:
        hashes: 64-bit perceptual hashes, null where a photograph has none.
    """
    rows = np.flatnonzero(hashes.is_valid().to_numpy()).astype(np.int64)
    return rows, group_by_hamming_radius(hashes.drop_null().to_numpy().astype(np.uint64))
