"""Frames that are drawn around photographs: how many the filter ``borders`` finds, and how exactly.

``python -m benchmarks.borders FOLDER`` takes the photographs of a folder, without those that have a frame themselves,
draws frames of several widths and colours around them, and crops them at random for the false alarms.
"""

import argparse
import io
import random
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

from lightmeter.harvest.filters.borders import Frame, find_frame
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.reader import display_image

WIDTHS = (1, 2, 3, 5, 20)
COLOURS = ((0, 0, 0), (255, 255, 255), (235, 225, 200))
QUALITIES = (None, 92, 75)
SIDE = 700
CROPS = 8


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--exclude", nargs="*", default=[], help="names of photographs that have a frame")
    options = parser.parse_args()
    photographs = [image for image in _photographs(options.folder, options.exclude) if not any(_frame(image))]
    print(f"{len(photographs)} photographs, {len(COLOURS)} colours of frame\n")
    print(f"{'width':>6} {'encoding':>9} {'found':>7} {'exact':>7} {'±1 px':>7}")
    for width in WIDTHS:
        for quality in QUALITIES:
            frames = [
                _frame(_encode(ImageOps.expand(image, width, colour), quality))
                for image in photographs
                for colour in COLOURS
            ]
            detected = sum(any(frame) for frame in frames) / len(frames)
            exact = sum(frame == (width,) * 4 for frame in frames) / len(frames)
            near = sum(all(abs(side - width) <= 1 for side in frame) and any(frame) for frame in frames) / len(frames)
            encoding = f"JPEG {quality}" if quality else "PNG"
            print(f"{width:>6} {encoding:>9} {detected:>7.1%} {exact:>7.1%} {near:>7.1%}")
    crops = [crop for image in photographs for crop in _crops(image)]
    print(f"\nfalse alarms: {sum(any(_frame(crop)) for crop in crops)} of {len(crops)} random crops")


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
