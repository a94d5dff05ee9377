"""Near-identical pictures among the photographs of a data set."""

from collections.abc import Sequence

import numpy as np

from harvest.inspect.duplicates import group


def near_duplicates(hashes: Sequence[int | None]) -> dict[int, int]:
    """Return the number of its group for each photograph that has a perceptual hash.

    Args:
        hashes: 64-bit perceptual hashes, or None where a photograph has none.
    """
    known = [index for index, one in enumerate(hashes) if one is not None]
    groups = group(np.asarray([hashes[index] for index in known], dtype=np.uint64))
    return dict(zip(known, groups.tolist(), strict=True))
