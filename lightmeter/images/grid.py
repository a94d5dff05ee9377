"""Grids of captioned thumbnails (contact sheets)."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

INK: Colour = (30, 30, 30)
PAPER: Colour = (250, 250, 248)
_MARGIN, _GAP, _LINE_HEIGHT, _TITLE_SIZE, _FONT_SIZE = 15, 10, 13, 15, 11


class Tile(NamedTuple):
    """One image of a grid.

    Attributes:
        image: Image, not larger than a tile.
        caption: Lines of text below it.
        colour: Colour of the first line.
    """

    image: Image.Image
    caption: Sequence[str]
    colour: Colour = INK


def fit(line: str, length: int) -> str:
    """Return a line of at most so many characters; the middle is left out, so that the suffix of a file name stays."""
    if len(line) <= length:
        return line
    tail = (length - 1) // 3
    return f"{line[: length - 1 - tail]}…{line[len(line) - tail :]}"


def draw_grid(tiles: Sequence[Tile], title: str, *, side: int, columns: int, title_colour: Colour = INK) -> Image.Image:
    """Draw images in rows, each with its caption, under a title.

    Args:
        tiles: Images and captions, in reading order.
        title: Heading.
        side: Width and height of a tile, in pixels.
        columns: Number of tiles per row.
        title_colour: Colour of the heading.
    """
    lines = max((len(tile.caption) for tile in tiles), default=0)
    cell_width, cell_height = side + _GAP, side + lines * _LINE_HEIGHT + _GAP
    top = 3 * _GAP
    size = (columns * cell_width - _GAP + 2 * _MARGIN, top + -(-len(tiles) // columns) * cell_height)
    grid = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(grid)
    draw.text((_MARGIN, _GAP // 2), title, fill=title_colour, font=ImageFont.load_default(_TITLE_SIZE))
    font = ImageFont.load_default(_FONT_SIZE)
    for index, (image, caption, colour) in enumerate(tiles):
        row, column = divmod(index, columns)
        x, y = _MARGIN + column * cell_width, top + row * cell_height
        grid.paste(image, (x + (side - image.width) // 2, y + (side - image.height) // 2))
        for number, line in enumerate(caption):
            position = (x, y + side + 2 + number * _LINE_HEIGHT)
            draw.text(position, line, fill=INK if number else colour, font=font)
    return grid
