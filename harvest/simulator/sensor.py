"""A digital sensor: electrons, their noise, and the curve from them to a picture.

A photosite is full at the exposure H = 78 / S lx s (saturation-based speed, ISO 12232:2019). Light of 555 nm brings
4,090 photons for each lx s and µm² (1 lm = 1/683 W; E = h c / λ). Of n electrons counted √n is noise (Poisson), and
reading adds its own (J. R. Janesick, *Photon Transfer*, SPIE 2007). A higher ISO fills the picture's range with
fewer electrons, and so with more noise.

The picture's pixels are single photosites of a larger sensor, sampled at equal steps as in a live view, so each has the
noise of one photosite and not of an average.
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
        width_mm: and height_mm: of the light-sensitive area.
        photosite_um: side of one photosite.
        efficiency: electrons for each photon that falls on a photosite, behind its colour filter.
        read_noise_e: standard deviation of what reading adds, in electrons.
    """

    width_mm: float
    height_mm: float
    photosite_um: float
    efficiency: float = 0.25
    read_noise_e: float = 3.0

    @property
    def crop_factor(self) -> float:
        """The diagonal of a 36 mm × 24 mm frame over this one's."""
        return float(np.hypot(36, 24) / np.hypot(self.width_mm, self.height_mm))

    def full_well(self, iso: float) -> float:
        """Return the electrons of a photosite that is exposed to saturation at this speed."""
        return 78 / iso * PHOTONS_PER_LUX_SECOND_UM2 * self.photosite_um**2 * self.efficiency

    def expose(self, luminance: Array, settings: Settings, rng: np.random.Generator) -> Array:
        """Return what is read, as a share of saturation, 0 to 1.

        Shot noise is drawn from the normal distribution, which Poisson's is close to from some ten electrons on.

        Args:
            luminance: (height, width, 3), cd/m².
            settings: of the camera.
            rng: draws the noise.
        """
        full = self.full_well(settings.iso)
        to_electrons = focal_plane_exposure(settings) * settings.iso / 78 * full
        electrons = np.minimum(luminance * np.float32(to_electrons), np.float32(full))
        noise = rng.standard_normal(electrons.shape, dtype=np.float32)
        noise *= np.sqrt(electrons + np.float32(self.read_noise_e**2))
        electrons += noise
        electrons *= np.float32(1 / full)
        return np.asarray(np.clip(electrons, 0, 1))


def develop(exposed: Array, brightness: float) -> np.ndarray:
    """Return an 8-bit sRGB picture: a shoulder that spares highlights, then the transfer curve of IEC 61966-2-1.

    Args:
        exposed: share of saturation, (height, width, 3).
        brightness: how strongly middle tones are lifted; 2 puts a metered grey in the middle.
    """
    x = np.linspace(0, 1, _LEVELS)
    curve = np.round(255 * encode_srgb(-np.expm1(-brightness * x) / -np.expm1(-brightness))).astype(np.uint8)
    return np.asarray(curve[(exposed * (_LEVELS - 1) + 0.5).astype(np.uint16)])


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Return sRGB values of linear light, both 0 to 1 (IEC 61966-2-1:1999)."""
    return np.where(linear <= _SRGB_KNEE, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def decode_srgb(encoded: np.ndarray) -> np.ndarray:
    """Return linear light of sRGB values, both 0 to 1 (IEC 61966-2-1:1999)."""
    return np.where(encoded <= 12.92 * _SRGB_KNEE, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
