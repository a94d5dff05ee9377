"""Measure the extraction of the pixel grids of the recipe lebon-grid, compared with simple loops.

make bench ONLY=grids
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.speed.measurement import Benchmark, Contender, Goal
from benchmarks.speed.train import photograph, rate
from lightmeter.models.runtime.preprocess import preprocess
from lightmeter.models.runtime.spec import Preprocessing

GRID_SIZE, GRIDS = 6, 256
VECTORISED, LOOP, TABLE = "Lightmeter", "a loop over pixels", "the same into a pandas table, cell by cell"
_CORNERS = [(left, top) for top in range(0, 60, GRID_SIZE) for left in range(0, 600, GRID_SIZE)]
_OFFSETS = [(row, column) for row in range(GRID_SIZE) for column in range(GRID_SIZE)]


@contextmanager
def contenders(_: Path) -> Iterator[list[Contender]]:
    """Make the photographs; yield the ways to read grids from them."""
    files = [photograph(seed) for seed in range(8)]
    image = Image.open(io.BytesIO(files[0])).convert("RGB")
    yield [
        Contender(VECTORISED, lambda: {"grids/s": vectorised(files)}),
        Contender(LOOP, measured(partial(loop_over_pixels, image), len(_CORNERS))),
        Contender(TABLE, measured(partial(fill_table, np.asarray(image)), 20)),
    ]


def measured(function: Callable[[], object], grids: int) -> Callable[[], dict[str, float]]:
    """Return a function that measures the rate of another one."""
    return lambda: {"grids/s": rate(grids, function)}


def vectorised(files: list[bytes]) -> float:
    """Return the rate of Lightmeter, without the time for decoding."""
    settings = Preprocessing(patches=GRIDS, patch_size=GRID_SIZE, patch_selection="coloured")
    photographs = rate(len(files), lambda: [preprocess(data, settings) for data in files])
    decoding = rate(len(files), lambda: [Image.open(io.BytesIO(data)).convert("RGB").load() for data in files])
    return GRIDS / (1 / photographs - 1 / decoding)


def loop_over_pixels(image: Image.Image) -> None:
    """Read each pixel and compute its chroma."""
    for left, top in _CORNERS:
        for row, column in _OFFSETS:
            pixel = image.getpixel((left + column, top + row))
            assert isinstance(pixel, tuple)
            red, green, blue = pixel
            max(red, green, blue) - min(red, green, blue)


def fill_table(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    """Fill a table as the original work does."""
    table = pd.DataFrame(columns=range(3 * GRID_SIZE * GRID_SIZE))
    for number, (left, top) in enumerate(_CORNERS[:20]):
        for cell, (row, column) in enumerate(_OFFSETS):
            for colour in range(3):
                table.loc[number, 3 * cell + colour] = pixels[top + row, left + column, colour]


BENCHMARK = Benchmark(
    title="Pixel grids",
    text="Grids of 6 × 6 pixels for the recipe `lebon-grid`, one thread, four candidates for each grid selected.",
    contenders=contenders,
    goals=[Goal("speed relative to a table", VECTORISED, {"grids/s": 100}, TABLE)],
    digits=0,
)
