"""Boxes, sizes and pixels in file and display coordinates."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from lightmeter.images.geometry import ORIENTATION_TAG, Box, Size, display_size, to_display, to_file, upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_pixels_follow_pillow(orientation: int) -> None:
    size, box = Size(40, 30), Box(3, 5, 10, 7)
    pixels = np.zeros((30, 40), dtype=np.uint8)
    pixels[box.y : box.y + box.height, box.x : box.x + box.width] = 255
    image = Image.fromarray(pixels)
    image.getexif()[ORIENTATION_TAG] = orientation
    displayed = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.nonzero(displayed)
    display_box = to_display(box, size, orientation)
    assert display_box == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert to_file(display_box, size, orientation) == box
    assert display_size(size, orientation) == displayed.shape[::-1]
    assert np.array_equal(upright(pixels, orientation), displayed)
