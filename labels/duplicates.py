"""Near-identical pictures among the photographs of a data set."""

from collections.abc import Sequence


def near_duplicates(hashes: Sequence[int | None]) -> dict[int, int]:
    """Return the number of its group for each photograph that has a perceptual hash.

    Args:
        hashes: 64-bit perceptual hashes, or None where a photograph has none.
    """
    numbers: dict[int, int] = {}
    return {index: numbers.setdefault(one, index) for index, one in enumerate(hashes) if one is not None}
