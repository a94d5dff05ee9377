"""The filter ``monochrome``."""

import numpy as np
from PIL import Image

from tests.harvest.filters.images import Pixels, apply_filter, encode_jpeg, synthetic_image


def toned(pixels: Pixels, light: tuple[int, int, int]) -> Pixels:
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=float)[..., None] / 255
    return (grey * light).clip(0, 255).astype(np.uint8)


def test_grey_and_toned_images_are_dropped() -> None:
    grey = toned(synthetic_image(), (255, 255, 255))
    assert apply_filter(encode_jpeg(grey, 50), "monochrome").reason == "grey"
    assert apply_filter(encode_jpeg(grey[..., 0].copy(), 50), "monochrome").reason == "grey"
    assert apply_filter(encode_jpeg(toned(synthetic_image(), (255, 220, 170)), 60), "monochrome").reason == "toned"
    assert apply_filter(encode_jpeg(toned(synthetic_image(), (150, 200, 255)), 60), "monochrome").reason == "toned"
    assert apply_filter(encode_jpeg(synthetic_image()), "monochrome").verdict == "keep"


def test_faint_tone_is_kept_and_named() -> None:
    for light in ((255, 250, 245), (247, 251, 255)):
        result = apply_filter(encode_jpeg(toned(synthetic_image(), light), 95), "monochrome")
        assert (result.verdict, result.reason) == ("keep", "faint tone")


def test_image_with_small_coloured_object_is_not_monochrome() -> None:
    pixels = toned(synthetic_image(), (255, 255, 255))
    pixels[100:120, 100:120] = (200, 40, 40)  # half a percent
    assert apply_filter(encode_jpeg(pixels), "monochrome").verdict == "keep"
