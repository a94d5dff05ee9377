"""A digital sensor: electrons, noise, and development to an 8-bit image.

A photosite is full at the exposure H = 78 / S lx s (saturation-based speed, ISO 12232:2019). Light of 555 nm brings
4,090 photons per lx s and µm² (1 lm = 1/683 W; E = h c / λ). The noise of n electrons is √n (Poisson), to which
reading adds its own (J. R. Janesick, *Photon Transfer*, SPIE 2007). At a higher ISO fewer electrons fill the range of
the image, so its noise is stronger.

Pixels are single photosites of a larger sensor, sampled at equal steps as in a live view; each has the noise of one
photosite and not of an average.
"""

from dataclasses import dataclass

import numpy as np

from lightmeter.harvest.simulator.light import Settings, focal_plane_exposure
from lightmeter.harvest.simulator.optics import Array

PHOTONS_PER_LUX_SECOND_UM2 = 4090.0
_LEVELS = 4096
_SRGB_KNEE = 0.0031308


@dataclass(frozen=True)
class Sensor:
    """A sensor.

    Attributes:
        width_mm: Width of the light-sensitive area.
        height_mm: Height of the light-sensitive area.
        photosite_um: Side of one photosite.
        efficiency: Electrons per photon that falls on a photosite with its colour filter.
        read_noise_e: Standard deviation of the read noise, in electrons.
    """

    width_mm: float
    height_mm: float
    photosite_um: float
    efficiency: float = 0.25
    read_noise_e: float = 3.0

    @property
    def crop_factor(self) -> float:
        """Diagonal of 36 mm × 24 mm divided by the diagonal of the sensor."""
        return float(np.hypot(36, 24) / np.hypot(self.width_mm, self.height_mm))

    def full_well(self, iso: float) -> float:
        """Return the number of electrons in a saturated photosite at an ISO."""
        return 78 / iso * PHOTONS_PER_LUX_SECOND_UM2 * self.photosite_um**2 * self.efficiency

    def expose(self, luminance: Array, settings: Settings, rng: np.random.Generator) -> Array:
        """Return the signal as a fraction of saturation, 0 to 1, shape (height, width, 3).

        Shot noise is normally distributed, which approximates a Poisson distribution above about ten electrons.

        Args:
            luminance: Luminance in cd/m², shape (height, width, 3).
            settings: Camera settings.
            rng: Generator of the noise.
        """
        full = self.full_well(settings.iso)
        to_electrons = focal_plane_exposure(settings) * settings.iso / 78 * full
        electrons = np.minimum(luminance * np.float32(to_electrons), np.float32(full))
        noise = rng.standard_normal(electrons.shape, dtype=np.float32)
        noise *= np.sqrt(electrons + np.float32(self.read_noise_e**2))
        electrons += noise
        electrons *= np.float32(1 / full)
        return np.asarray(np.clip(electrons, 0, 1))


def develop(signal: Array, brightness: float) -> np.ndarray:
    """Return an 8-bit sRGB image: a shoulder that preserves highlights, then the transfer curve of IEC 61966-2-1.

    Args:
        signal: Fraction of saturation, shape (height, width, 3).
        brightness: Strength of the lift of mid-tones; 2 renders a metered grey as middle grey.
    """
    x = np.linspace(0, 1, _LEVELS)
    curve = np.round(255 * encode_srgb(-np.expm1(-brightness * x) / -np.expm1(-brightness))).astype(np.uint8)
    return np.asarray(curve[(signal * (_LEVELS - 1) + 0.5).astype(np.uint16)])


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB, both 0 to 1 (IEC 61966-2-1:1999)."""
    return np.where(linear <= _SRGB_KNEE, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def decode_srgb(encoded: np.ndarray) -> np.ndarray:
    """Decode sRGB values to linear light, both 0 to 1 (IEC 61966-2-1:1999)."""
    return np.where(encoded <= 12.92 * _SRGB_KNEE, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
