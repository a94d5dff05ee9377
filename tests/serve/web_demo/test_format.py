"""Targets, camera settings and boxes as the page shows them."""

import pytest

from lightmeter.images.geometry import Size
from lightmeter.serve.web_demo.format import (
    display_box,
    format_target_setting,
    quantity_of_target,
    read_exif,
    target_title,
)
from tests.serve.support import photo_with_exif


def test_exif_settings_are_formatted_like_on_a_camera() -> None:
    assert read_exif(photo_with_exif(orientation=6)) == (
        {"aperture": "f/2.8", "shutter": "1/250 s", "iso": "ISO 400", "focal-length": "35 mm"},
        6,
    )


def test_file_that_is_no_image_has_no_settings() -> None:
    assert read_exif(b"no image") == ({}, 1)


@pytest.mark.parametrize(
    ("target", "value", "text"),
    [
        ("shutter", 1 / 8000, "1/8000 s"),
        ("shutter-binary", 125, "125 s"),
        ("aperture", 5.66, "f/5.7"),
        ("mood", 3, "3"),
    ],
)
def test_setting_of_a_target_is_formatted_with_its_unit(target: str, value: float, text: str) -> None:
    assert format_target_setting(target, value) == text


@pytest.mark.parametrize(
    ("target", "quantity", "title"),
    [
        ("shutter", "shutter", "shutter speed"),
        ("shutter-binary", "shutter", "shutter speed (binary)"),
        ("focal-length", "focal-length", "focal length"),
        ("medium", "medium", "film or digital"),
        ("camera-make", "camera-make", "camera-make"),
    ],
)
def test_target_has_quantity_and_title(target: str, quantity: str, title: str) -> None:
    assert (quantity_of_target(target), target_title(target)) == (quantity, title)


def test_patch_box_is_rotated_with_the_photo() -> None:
    box = {"x": 30, "y": 10, "width": 20, "height": 25}

    assert display_box(box, Size(100, 60), 1) == box
    assert display_box(box, Size(100, 60), 6) == {"x": 25, "y": 30, "width": 25, "height": 20}
