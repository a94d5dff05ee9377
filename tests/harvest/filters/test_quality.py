"""The filter ``quality``."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageStat

from lightmeter.harvest.filters.quality import sharpness_and_noise
from lightmeter.images.pixel_statistics import jpeg_quality, laplacian, noise_residual, noise_sigma
from tests.harvest.filters.images import apply_filter, encode_jpeg, synthetic_image
from tests.support import encode_image


@pytest.mark.parametrize("size", [(240, 320), (257, 300), (600, 40), (3, 3)])
def test_measures_equal_those_of_opencv_and_pillow(size: tuple[int, int]) -> None:
    image = Image.open(io.BytesIO(encode_jpeg(synthetic_image(*size))))
    grey = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY)
    measures = apply_filter(encode_jpeg(synthetic_image(*size)), "quality").measures
    assert measures["laplacian_variance"] == pytest.approx(cv2.Laplacian(grey, cv2.CV_64F).var(), rel=1e-9)
    of_pillow = np.asarray(image.convert("L"))
    assert np.abs(grey.astype(int) - of_pillow).mean() < 0.002
    assert measures["laplacian_variance"] == pytest.approx(cv2.Laplacian(of_pillow, cv2.CV_64F).var(), rel=1e-2)
    stat = ImageStat.Stat(Image.fromarray(np.asarray(grey)))
    assert measures["brightness"] == pytest.approx(stat.mean[0])
    assert measures["rms_brightness"] == pytest.approx(stat.rms[0])
    assert measures["contrast"] == pytest.approx(stat.stddev[0])


@pytest.mark.parametrize("sigma", [2.0, 5.0, 15.0])
def test_noise_sigma_equals_the_added_noise(sigma: float) -> None:
    smooth = cv2.GaussianBlur(synthetic_image(400, 400), (0, 0), 8).astype(float)
    noisy = (smooth + np.random.default_rng(2).normal(0, sigma, (400, 400, 1))).clip(0, 255).astype(np.uint8)
    assert apply_filter(encode_image(noisy, "PNG"), "quality").measures["noise_sigma"] == pytest.approx(sigma, rel=0.1)


def test_compression_increases_blockiness() -> None:
    pixels = cv2.GaussianBlur(synthetic_image(400, 400), (0, 0), 2)
    harsh, gentle = (
        apply_filter(encode_jpeg(np.asarray(pixels, np.uint8), q), "quality").measures["blockiness"] for q in (10, 95)
    )
    assert harsh > 1.5 > gentle


@given(st.integers(1, 100))
@settings(max_examples=20, deadline=None)
def test_jpeg_quality_is_estimated_closely(quality: int) -> None:
    tables = Image.open(io.BytesIO(encode_jpeg(np.zeros((8, 8, 3), np.uint8), quality))).quantization  # type: ignore[attr-defined]
    assert abs(jpeg_quality(tables) - quality) <= 1  # type: ignore[operator]


def test_images_without_content_are_dropped_with_a_reason() -> None:
    assert apply_filter(encode_jpeg(np.zeros((64, 64, 3), np.uint8)), "quality").reason == "black"
    assert apply_filter(encode_jpeg(np.full((64, 64, 3), 255, np.uint8)), "quality").reason == "white"
    assert apply_filter(encode_jpeg(np.full((64, 64, 3), 90, np.uint8)), "quality").reason == "blank"
    assert apply_filter(encode_jpeg(synthetic_image(20, 20)), "quality").reason == "tiny"
    assert apply_filter(encode_jpeg(synthetic_image()), "quality").reason is None


@given(arrays(np.uint8, st.tuples(st.sampled_from([3, 4, 255, 256, 257, 258, 513]), st.integers(3, 12))))
@settings(max_examples=20, deadline=None)
def test_strips_give_the_values_of_the_whole_image(grey: np.ndarray) -> None:
    plane = grey.astype(np.int64)

    sharpness, sigma = sharpness_and_noise(grey)

    assert sharpness == pytest.approx(laplacian(plane).var(), abs=1e-6)
    assert sigma == pytest.approx(float(noise_sigma(noise_residual(plane))))
