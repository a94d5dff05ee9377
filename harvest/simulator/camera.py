"""Camera bodies: they photograph a scene with given settings, and return a JPEG."""

import io
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from lightmeter.harvest.simulator import film, motion, optics
from lightmeter.harvest.simulator.light import Settings, metered_luminance
from lightmeter.harvest.simulator.motion import TRIPOD, CameraShake
from lightmeter.harvest.simulator.optics import Array
from lightmeter.harvest.simulator.scene import Layer, Scene
from lightmeter.harvest.simulator.sensor import Sensor, develop

MAKE = "Lightmeter"
SOFTWARE = "Lightmeter simulator (simulated photograph)"
FILM_SOFTWARE = "Lightmeter simulator (simulated film scan)"
_SCANNER = film.Scanner()


@dataclass(frozen=True)
class Body:
    """A digital camera.

    Attributes:
        model: Model name.
        serial: Serial number.
        sensor: Its sensor.
        brightness: Rendering of mid-tones (see `develop`).
        quality: JPEG quality.
    """

    model: str
    serial: str
    sensor: Sensor
    brightness: float = 2.0
    quality: int = 93

    def take(
        self,
        scene: Scene,
        settings: Settings,
        *,
        seed: int = 0,
        shake: CameraShake = TRIPOD,
        luminance: float | None = None,
        taken_at: datetime = datetime(2000, 1, 1),  # noqa: DTZ001 - EXIF holds local time
        lens: str = "",
    ) -> bytes:
        """Take a photograph.

        Args:
            scene: Scene in front of the camera.
            settings: Camera settings.
            seed: Random seed of the noise.
            shake: Camera shake.
            luminance: Average luminance of the scene in cd/m² (default: what the settings expose correctly).
            taken_at: Time on the clock of the camera.
            lens: Name of the lens.

        Returns:
            A JPEG with EXIF.
        """
        luminance = luminance if luminance is not None else metered_luminance(settings)
        view = project(scene, settings, self.sensor.width_mm, shake, luminance)
        pixels = develop(self.sensor.expose(view, settings, _generator(seed)), self.brightness)
        return _jpeg(pixels, self.quality, self._exif(settings, taken_at, lens))

    def _exif(self, settings: Settings, taken_at: datetime, lens: str) -> Image.Exif:
        exif = _camera_exif(MAKE, self.model, SOFTWARE)
        clock = taken_at.strftime("%Y:%m:%d %H:%M:%S")
        tag = ExifTags.Base
        exif[tag.DateTime] = clock
        exif.get_ifd(ExifTags.IFD.Exif).update(
            {
                tag.ExposureTime: _rational(settings.exposure_time_s),
                tag.FNumber: _rational(settings.f_number),
                tag.ISOSpeedRatings: settings.iso,
                tag.SensitivityType: 3,
                tag.ExifVersion: b"0232",
                tag.DateTimeOriginal: clock,
                tag.Flash: 0x10,
                tag.FocalLength: _rational(settings.focal_length_mm),
                tag.FocalLengthIn35mmFilm: round(settings.focal_length_mm * self.sensor.crop_factor),
                tag.BodySerialNumber: self.serial,
                tag.LensModel: lens or f"Lightmeter {settings.focal_length_mm:g} mm",
            }
        )
        return exif


@dataclass(frozen=True)
class FilmBody:
    """A camera for 35 mm film, and the scanner of its slides; the settings are not recorded.

    Attributes:
        stock: Film in the camera.
        scanner: Scanner.
        quality: JPEG quality of the scan.
    """

    stock: film.Stock
    scanner: film.Scanner = _SCANNER
    quality: int = 93

    def take(
        self,
        scene: Scene,
        settings: Settings,
        *,
        seed: int = 0,
        shake: CameraShake = TRIPOD,
        luminance: float | None = None,
    ) -> bytes:
        """Take a photograph and scan it; for the arguments see `Body.take`."""
        luminance = luminance if luminance is not None else metered_luminance(settings)
        view = project(scene, settings, 36.0, shake, luminance)
        exposed = film.expose(view, settings, self.stock, 36.0 / scene.size[0])
        pixels = film.scan(exposed, self.stock, self.scanner, _generator(seed))
        return _jpeg(pixels, self.quality, _camera_exif("Lightmeter Scanners", "Slidescan 35", FILM_SOFTWARE))


def project(scene: Scene, settings: Settings, width_mm: float, shake: CameraShake, luminance: float) -> Array:
    """Return the blurred image that a lens projects onto a sensor, in cd/m², shape (height, width, 3).

    Args:
        scene: Scene in front of the camera.
        settings: Camera settings.
        width_mm: Width of the sensor.
        shake: Camera shake.
        luminance: Average luminance of the scene, in cd/m².
    """
    background, *others = scene.layers
    kernel = point_spread(scene, background, settings, width_mm, shake)
    view = _filtered(np.ascontiguousarray(background.paint[..., :3]), kernel)
    for layer in others:
        _composite(view, layer, point_spread(scene, layer, settings, width_mm, shake))
    light = np.array(scene.tint, np.float32) * np.float32(luminance / view.mean())
    return view * (light * optics.falloff(scene.size, width_mm, settings.focal_length_mm))


def point_spread(scene: Scene, layer: Layer, settings: Settings, width_mm: float, shake: CameraShake) -> Array:
    """Return the blur kernel of a point of a layer: the disc of the aperture along the path of motion."""
    px_per_mm = scene.size[0] / width_mm
    focal = settings.focal_length_mm
    focus = focal * (1 + scene.width_m * 1000 / width_mm)
    blur = optics.blur_circle_mm(focal, settings.f_number, focus, focus * layer.depth) * px_per_mm
    speed = (layer.speed_m_s[0] * scene.px_per_m(layer.depth), layer.speed_m_s[1] * scene.px_per_m(layer.depth))
    path = motion.path(settings.exposure_time_s, speed, shake, focal * px_per_mm)
    return optics.convolve_kernels(optics.disc(blur), path)


def _composite(view: Array, layer: Layer, kernel: Array) -> None:
    """Composite a blurred layer over the layers behind it; beyond the frame the pixels of its edge are repeated."""
    reach = (kernel.shape[1] // 2, kernel.shape[0] // 2)
    starts = [max(layer.corner[axis] - reach[axis], 0) for axis in (0, 1)]
    ends = [layer.corner[axis] + layer.paint.shape[1 - axis] for axis in (0, 1)]
    stops = [min(ends[axis] + reach[axis], view.shape[1 - axis]) for axis in (0, 1)]
    (left, top), (right, bottom) = starts, stops
    margins = (layer.corner[1] - top, bottom - ends[1], layer.corner[0] - left, right - ends[0])
    padded = np.asarray(cv2.copyMakeBorder(layer.paint, *margins, cv2.BORDER_REPLICATE), np.float32)
    blurred = _filtered(padded, kernel)
    clear = 1 - blurred[..., 3]
    behind = view[top:bottom, left:right]
    behind[:] = cv2.multiply(behind, cv2.merge((clear, clear, clear))) + blurred[..., :3]


def _filtered(paint: Array, kernel: Array) -> Array:
    if kernel.size == 1:
        return paint.copy()
    return np.asarray(cv2.filter2D(paint, -1, kernel[::-1, ::-1], borderType=cv2.BORDER_REPLICATE))


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))


def _camera_exif(make: str, model: str, software: str) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = make
    exif[ExifTags.Base.Model] = model
    exif[ExifTags.Base.Software] = software
    return exif


def _rational(value: float) -> IFDRational:
    return IFDRational(Fraction(value).limit_denominator(4000))


def _jpeg(pixels: np.ndarray, quality: int, exif: Image.Exif) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, exif=exif)
    return file.getvalue()
