"""A thin lens: blur of points out of focus, and falloff of light towards the corners.

The circle of confusion has the diameter c = A |d − s| / d · f / (s − f) with entrance pupil A = f / N, focus distance s
and object distance d. Light falls off towards the corners with cos⁴ of the field angle (both: R. Kingslake, *Optics in
Photography*, SPIE 1992). Diffraction is not simulated: its disc, 2.44 λ N wide, covers at most one pixel at f/22 on the
smallest sensor and a width of 640 pixels.
"""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def blur_circle_mm(focal_length_mm: float, f_number: float, focus_mm: float, distance_mm: float) -> float:
    """Return the diameter of the circle of confusion, in mm on the sensor."""
    pupil = focal_length_mm / f_number
    magnification = focal_length_mm / (focus_mm - focal_length_mm)
    return pupil * abs(distance_mm - focus_mm) / distance_mm * magnification


def disc(diameter_px: float) -> Array:
    """Return the uniform disc of a round aperture as an antialiased kernel of sum 1."""
    radius = diameter_px / 2
    reach = int(np.ceil(radius))
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    coverage = np.clip(radius + 0.5 - np.hypot(xs, ys), 0, 1).astype(np.float32)
    return np.asarray(coverage / coverage.sum())


def convolve_kernels(first: Array, second: Array) -> Array:
    """Return the convolution of two kernels."""
    down, across = second.shape[0] // 2, second.shape[1] // 2
    padded = cv2.copyMakeBorder(first, down, down, across, across, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.filter2D(padded, -1, second[::-1, ::-1], borderType=cv2.BORDER_CONSTANT))


@lru_cache(maxsize=64)
def falloff(size: tuple[int, int], width_mm: float, focal_length_mm: float) -> Array:
    """Return cos⁴ of the field angle for each pixel, shape (height, width, 1).

    Args:
        size: Width and height of the image in pixels.
        width_mm: Width of the sensor.
        focal_length_mm: Focal length of the lens.
    """
    width, height = size
    pitch = width_mm / width
    x = (np.arange(width) - (width - 1) / 2) * pitch
    y = (np.arange(height) - (height - 1) / 2) * pitch
    squared = (x[None, :] ** 2 + y[:, None] ** 2) / focal_length_mm**2
    return (1 / (1 + squared) ** 2).astype(np.float32)[..., None]
