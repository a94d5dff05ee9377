"""The filter ``borders``: frames and film rebates."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from tests.harvest.filters.images import SIDES, Pixels, apply_filter, encode_jpeg, synthetic_image
from tests.support import encode_image


def framed(pixels: Pixels, widths: tuple[int, int, int, int], colour: tuple[int, int, int], sigma: float = 0) -> Pixels:
    left, top, right, bottom = widths
    framed = np.array(ImageOps.expand(Image.fromarray(pixels), widths, colour), dtype=float)
    noise = np.random.default_rng(1).normal(0, sigma, framed.shape)
    noise[top : framed.shape[0] - bottom, left : framed.shape[1] - right] = 0
    return (framed + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("widths", "colour", "sigma"),
    [
        ((20, 20, 20, 20), (255, 255, 255), 0), ((12, 40, 12, 40), (0, 0, 0), 0), ((24, 24, 24, 90), (240, 235, 220), 1),
        ((0, 30, 0, 30), (0, 0, 0), 2), ((40, 10, 22, 31), (200, 200, 200), 3), ((30, 0, 30, 0), (90, 20, 20), 0),
        ((5, 5, 5, 5), (255, 255, 255), 0),
    ],
)  # fmt: skip
def test_frame_widths_are_measured_on_each_side(
    widths: tuple[int, int, int, int], colour: tuple[int, int, int], sigma: float
) -> None:
    result = apply_filter(encode_jpeg(framed(synthetic_image(), widths, colour, sigma)), "borders")
    assert result.reason == "frame"
    assert [result.measures[side] for side in SIDES] == pytest.approx(widths, abs=1)
    (inside,) = result.detections
    assert (inside.box.width, inside.box.height) == pytest.approx((320, 240), abs=2)


@pytest.mark.parametrize("width", [1, 2, 3, 8])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 20, 20)])
def test_thin_frames_are_exact(width: int, colour: tuple[int, int, int]) -> None:
    image = Image.fromarray(framed(synthetic_image(), (width,) * 4, colour))
    exact = apply_filter(encode_image(image, "PNG"), "borders")
    assert [exact.measures[side] for side in SIDES] == [width] * 4
    compressed = apply_filter(encode_jpeg(np.asarray(image)), "borders")
    assert [compressed.measures[side] for side in SIDES] == pytest.approx([width] * 4, abs=1)


@pytest.mark.parametrize(("strip", "quality"), [(70, 60), (70, 90), (90, 75)])
def test_film_rebate_is_a_frame(strip: int, quality: int) -> None:
    image = Image.fromarray(framed(synthetic_image(480, 800), (20, strip, 20, strip), (24, 20, 18), 1))
    draw = ImageDraw.Draw(image)
    for top in (12, image.height - strip + 22):
        for left in range(10, image.width - 40, 60):
            draw.rounded_rectangle((left, top, left + 34, top + 36), 6, fill=(250, 250, 248))
    draw.text((200, strip - 18), "SAFETY FILM 23A", fill=(240, 190, 60))
    result = apply_filter(encode_jpeg(np.asarray(image), quality), "borders")
    assert [result.measures[side] for side in SIDES] == pytest.approx((20, strip, 20, strip), abs=1)


def test_lights_at_night_are_not_perforations() -> None:
    night = np.zeros((300, 400, 3), dtype=np.uint8)
    rng = np.random.default_rng(4)
    for x, y in rng.integers((0, 20), (400, 280), (150, 2)).tolist():
        cv2.circle(night, (x, y), 6, (255, 240, 200), -1)
    assert apply_filter(encode_jpeg(night), "borders").verdict == "keep"


def test_images_without_frame_have_no_width() -> None:
    night = np.zeros((240, 320, 3), dtype=np.uint8)
    cv2.circle(night, (160, 120), 40, (250, 250, 240), -1)
    for pixels in (synthetic_image(), night, np.full((100, 100, 3), 128, np.uint8)):
        result = apply_filter(encode_jpeg(pixels), "borders")
        assert (result.verdict, result.detections, result.measures["widest"]) == ("keep", (), 0.0)
