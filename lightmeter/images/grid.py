"""Grids of captioned thumbnails (contact sheets)."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

INK: Colour = (30, 30, 30)
PAPER: Colour = (250, 250, 248)
_GAP, _LINE_HEIGHT, _TITLE_SIZE, _FONT_SIZE = 10, 13, 15, 11


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
    grid = Image.new("RGB", (columns * cell_width + _GAP, top + -(-len(tiles) // columns) * cell_height), PAPER)
    draw = ImageDraw.Draw(grid)
    draw.text((_GAP, _GAP // 2), title, fill=title_colour, font=ImageFont.load_default(_TITLE_SIZE))
    font = ImageFont.load_default(_FONT_SIZE)
    for index, (image, caption, colour) in enumerate(tiles):
        row, column = divmod(index, columns)
        x, y = _GAP + column * cell_width, top + row * cell_height
        grid.paste(image, (x + (side - image.width) // 2, y + (side - image.height) // 2))
        for number, line in enumerate(caption):
            position = (x, y + side + 2 + number * _LINE_HEIGHT)
            draw.text(position, line, fill=INK if number else colour, font=font)
    return grid
