"""Frames that are drawn around photographs: how many the filter ``borders`` finds, and how exactly.

``python -m benchmarks.borders FOLDER`` takes the photographs of a folder, without those that have a frame themselves,
draws 29 kinds of frames around each, and crops them at random for the false alarms.
"""

import argparse
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from lightmeter.harvest.filters.borders import Frame, find_frame
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.reader import display_image

WIDTHS = (1, 2, 3, 5, 20)
COLOURS = ((0, 0, 0), (255, 255, 255), (235, 225, 200))
QUALITIES = (None, 92, 75)
SIDE = 700
CROPS = 8

Colour = tuple[int, int, int]
Drawing = tuple[Image.Image, Frame]


class Kind(NamedTuple):
    """A kind of frames.

    Attributes:
        name: Name in the table.
        quality: JPEG quality, None for PNG.
        draw: Returns a photograph with its frames and their widths.
    """

    name: str
    quality: int | None
    draw: Callable[[Image.Image], Iterator[Drawing]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--exclude", nargs="*", default=[], help="names of photographs that have a frame")
    options = parser.parse_args()
    photographs = [image for image in _photographs(options.folder, options.exclude) if not any(_frame(image))]
    print(f"{len(photographs)} photographs\n")
    print("| frame | encoding | frames | found | all four sides exact | within 1 px |\n|---|---|---:|---:|---:|---:|")
    for kind in _kinds():
        pairs = [
            (_frame(_encode(drawn, kind.quality)), frame) for image in photographs for drawn, frame in kind.draw(image)
        ]
        counts = (
            sum(any(detected) for detected, _ in pairs),
            sum(detected == frame for detected, frame in pairs),
            sum(
                max(abs(a - b) for a, b in zip(detected, frame, strict=True)) <= 1 and any(detected)
                for detected, frame in pairs
            ),
        )
        encoding = f"JPEG {kind.quality}" if kind.quality else "PNG"
        shares = " | ".join(f"{count / len(pairs):.0%}".replace("%", " %") for count in counts)
        print(f"| {kind.name} | {encoding} | {len(pairs)} | {shares} |", flush=True)
    crops = [crop for image in photographs for crop in _crops(image)]
    print(f"\nfalse alarms: {sum(any(_frame(crop)) for crop in crops)} of {len(crops)} random crops")


def _kinds() -> Iterator[Kind]:
    for width in WIDTHS:
        for quality in QUALITIES:
            yield Kind(f"{width} px", quality, _plain((width,) * 4, COLOURS))
    for width in (1, 2, 5):
        for quality in (None, 92):
            yield Kind(f"{width} px in the colour of the photograph's edge", quality, _like_edge(width))
    yield Kind("60 px", 92, _plain((60, 60, 60, 60), COLOURS))
    yield Kind("instant print: 20 px, below 90 px", 92, _plain((20, 20, 20, 90), COLOURS))
    yield Kind("30 px above and below only", 92, _plain((0, 30, 0, 30), COLOURS))
    yield Kind("30 px left and right only", 92, _plain((30, 0, 30, 0), COLOURS))
    yield Kind("20 px, dark red", 92, _plain((20, 20, 20, 20), [(90, 20, 20)]))
    yield Kind("20 px with grain (σ 3)", 92, _grainy)
    yield Kind("40 px, then scaled by a half", 92, _scaled)
    yield Kind("film rebate of 70 px with perforations", 92, _rebate)


def _plain(
    widths: tuple[int, int, int, int], colours: "list[Colour] | tuple[Colour, ...]"
) -> Callable[..., Iterator[Drawing]]:
    def draw(image: Image.Image) -> Iterator[Drawing]:
        for colour in colours:
            yield ImageOps.expand(image, widths, colour), Frame(*widths)

    return draw


def _like_edge(width: int) -> Callable[..., Iterator[Drawing]]:
    def draw(image: Image.Image) -> Iterator[Drawing]:
        pixels = np.asarray(image)
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        red, green, blue = np.median(edge, 0).astype(int).tolist()
        yield ImageOps.expand(image, width, (red, green, blue)), Frame(*(width,) * 4)

    return draw


def _grainy(image: Image.Image) -> Iterator[Drawing]:
    for drawn, frame in _plain((20, 20, 20, 20), COLOURS)(image):
        noise = np.random.default_rng(0).normal(0, 3, (drawn.height, drawn.width, 3))
        noise[20:-20, 20:-20] = 0
        yield Image.fromarray((np.asarray(drawn) + noise).round().clip(0, 255).astype(np.uint8)), frame


def _scaled(image: Image.Image) -> Iterator[Drawing]:
    even = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
    for drawn, _ in _plain((40, 40, 40, 40), COLOURS)(even):
        yield drawn.resize((drawn.width // 2, drawn.height // 2), Image.Resampling.LANCZOS), Frame(20, 20, 20, 20)


def _rebate(image: Image.Image) -> Iterator[Drawing]:
    drawn = ImageOps.expand(image, (20, 70, 20, 70), (24, 20, 18))
    draw = ImageDraw.Draw(drawn)
    for top in (12, drawn.height - 48):
        for left in range(10, drawn.width - 40, 60):
            draw.rounded_rectangle((left, top, left + 34, top + 36), 6, fill=(250, 250, 248))
    yield drawn, Frame(20, 70, 20, 70)


def _photographs(folder: Path, exclude: list[str]) -> Iterator[Image.Image]:
    for path in sorted(folder.rglob("*.jpg")):
        if path.name not in exclude:
            image = display_image(path, SIDE).convert("RGB")
            if min(image.size) >= 150:
                yield image


def _frame(image: Image.Image) -> Frame:
    return find_frame(DecodedImage(image))


def _encode(image: Image.Image, quality: int | None) -> Image.Image:
    if quality is None:
        return image
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _crops(image: Image.Image) -> Iterator[Image.Image]:
    numbers = random.Random(image.width * image.height)
    for _ in range(CROPS):
        width, height = (numbers.randint(100, side) for side in image.size)
        left, top = numbers.randint(0, image.width - width), numbers.randint(0, image.height - height)
        yield image.crop((left, top, left + width, top + height))


if __name__ == "__main__":
    main()
