"""Grids of thumbnails."""

from pathlib import Path

import pytest
from PIL import Image

from lightmeter.images.grid import PAPER, Tile, draw_grid, fit
from lightmeter.images.reader import display_image


def test_grid_draws_images_in_rows() -> None:
    tiles = [Tile(Image.new("RGB", (40, 40), colour), ["caption"]) for colour in ("red", "lime", "blue")]

    grid = draw_grid(tiles, "title", side=40, columns=2)

    assert grid.getpixel((0, 0)) == PAPER
    cell_width, cell_height = 50, 63
    positions = [(35 + column * cell_width, 50 + row * cell_height) for row, column in ((0, 0), (0, 1), (1, 0))]
    assert [grid.getpixel(position) for position in positions] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_grid_without_images_has_a_title() -> None:
    assert draw_grid([], "No photographs", side=40, columns=2).getcolors() != [(120 * 30, PAPER)]


def test_long_file_names_keep_their_beginning_and_suffix() -> None:
    assert fit("short.jpg", 12) == "short.jpg"
    assert fit("a-very-long-name-without-blanks.jpg", 16) == "a-very-lon…s.jpg"


@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 32)), (6, (32, 64))])
def test_thumbnail_is_in_display_orientation(tmp_path: Path, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (640, 320)).save(tmp_path / "photo.jpg", exif=exif)

    assert display_image(tmp_path / "photo.jpg", 64).size == size
