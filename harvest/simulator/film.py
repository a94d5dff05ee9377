"""Scanned reversal film.

Density falls with the logarithm of exposure along an S-shaped curve (F. Hurter and V. C. Driffield, 1890); a metered
grey is exposed near H = 10 / S lx s, by which ISO 2240 defines the speed of slide film. Grain varies density: its
standard deviation σ through an aperture of area a keeps σ √a constant (E. W. H. Selwyn, *Photographic Journal* 75,
1935); manufacturers state 1000 σ for a circle 48 µm wide; σ grows with the square root of density (H. Siedentopf,
*Physikalische Zeitschrift* 38, 1937). Light reflected by the film base causes a reddish halo (C. E. K. Mees and
T. H. James, *The Theory of the Photographic Process*, 1966).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lightmeter.harvest.simulator.light import Settings, focal_plane_exposure
from lightmeter.harvest.simulator.optics import Array
from lightmeter.harvest.simulator.sensor import encode_srgb

_GRANULARITY_APERTURE_UM2 = math.pi * 24.0**2
_HALO = np.array([0.10, 0.035, 0.008], np.float32)


@dataclass(frozen=True)
class Stock:
    """A film stock.

    Attributes:
        name: Name of the film.
        iso: Speed.
        granularity: 1000 times the standard deviation of a density of 1, through a circle 48 µm wide.
        contrast: Maximum slope of the curve.
        dyes: Density range of the red, green and blue layers.
    """

    name: str
    iso: int
    granularity: float
    contrast: float
    dyes: tuple[float, float, float]


@dataclass(frozen=True)
class Scanner:
    """A film scanner.

    Attributes:
        spot_um: Side of the area that a pixel covers on the film.
        spread_px: Standard deviation of the blur of its optics.
        halo_mm: Standard deviation of the halo in the film.
    """

    spot_um: float = 8.0
    spread_px: float = 0.65
    halo_mm: float = 0.35


def expose(luminance: Array, settings: Settings, stock: Stock, pitch_mm: float) -> Array:
    """Return log10 of the exposure relative to a metered grey, with the halo of highlights.

    Args:
        luminance: Luminance in cd/m², shape (height, width, 3).
        settings: Camera settings.
        stock: Film in the camera.
        pitch_mm: Size of a pixel on the film.
    """
    exposure = luminance * np.float32(focal_plane_exposure(settings) * stock.iso / 10)
    bright = np.maximum(exposure - 2, 0)
    exposure = exposure + _wide_blur(bright, Scanner.halo_mm / pitch_mm) * _HALO
    return np.asarray(np.log10(np.maximum(exposure, 1e-4)), np.float32)


def scan(log_exposure: Array, stock: Stock, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Return the 8-bit sRGB scan of the developed film."""
    density = _density(log_exposure, stock)
    density += _grain(density, stock, scanner, rng)
    positive = encode_srgb(10.0 ** -np.maximum(density, 0))
    return np.asarray(np.clip(positive * 255 + 0.5, 0, 255), np.uint8)


def _density(log_exposure: Array, stock: Stock) -> Array:
    """Return the density above the base: a logistic curve on which a metered grey has a quarter of the range."""
    dyes = np.array(stock.dyes, np.float32)
    steepness = np.float32(4 * stock.contrast / dyes.mean())
    middle = np.float32(math.log(3) / steepness)
    return np.asarray(dyes / (1 + np.exp(steepness * (log_exposure + middle))))


def _grain(density: Array, stock: Stock, scanner: Scanner, rng: np.random.Generator) -> Array:
    sigma = stock.granularity / 1000 * math.sqrt(_GRANULARITY_APERTURE_UM2) / scanner.spot_um
    noise = rng.standard_normal(density.shape, dtype=np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), scanner.spread_px)
    grain *= sigma / grain.std()
    return np.asarray(grain * np.sqrt(density))


def _wide_blur(light: Array, sigma_px: float) -> Array:
    """Blur light widely, at a quarter of the resolution."""
    height, width = light.shape[:2]
    small = cv2.resize(light, (max(width // 4, 1), max(height // 4, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(sigma_px / 4, 0.5))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
