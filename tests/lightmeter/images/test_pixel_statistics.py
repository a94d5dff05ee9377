"""Statistics of pixels and JPEG tables."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightmeter.images.pixel_statistics import jpeg_quality, laplacian, noise_residual, noise_sigma

IMAGES = arrays(np.uint8, st.tuples(st.integers(3, 80), st.integers(3, 20)))


def test_laplacian_of_a_point_is_its_kernel() -> None:
    plane = np.zeros((3, 3), np.int16)
    plane[1, 1] = 1

    assert laplacian(plane).tolist() == [[0, 2, 0], [2, -4, 2], [0, 2, 0]]  # the border is reflected


@given(IMAGES)
def test_laplacian_is_that_of_opencv(grey: np.ndarray) -> None:
    assert np.array_equal(laplacian(grey.astype(np.int16)), cv2.Laplacian(grey, cv2.CV_16S))


@pytest.mark.parametrize("sigma", [1.0, 5.0])
def test_noise_sigma_of_gaussian_noise_is_its_standard_deviation(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, (256, 256))

    assert float(noise_sigma(noise_residual(noise))) == pytest.approx(sigma, rel=0.03)


def test_images_without_luminance_table_have_no_jpeg_quality() -> None:
    assert jpeg_quality(None) is None
    assert jpeg_quality({}) is None
    assert jpeg_quality({0: [1, 2, 3]}) is None
