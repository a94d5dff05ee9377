"""Camera bodies: they take a scene with settings, and give a JPEG."""

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
from lightmeter.harvest.simulator.motion import TRIPOD, Hand
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
        model: its name.
        serial: number of this one body.
        sensor: what is in it.
        brightness: its maker's taste in middle tones.
        quality: of its JPEG, as Pillow counts.
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
        hand: Hand = TRIPOD,
        luminance: float | None = None,
        taken_at: datetime = datetime(2000, 1, 1),  # noqa: DTZ001 - EXIF has the local time of the place
        lens: str = "",
    ) -> bytes:
        """Take a photograph.

        Args:
            scene: what stands before the camera.
            settings: that it is taken with.
            seed: of the noise.
            hand: that holds the camera.
            luminance: average of the scene in cd/m²; if not given, the one for which the settings are right.
            taken_at: what the camera's clock shows.
            lens: name of the lens.

        Returns:
            A JPEG with EXIF.
        """
        lit = luminance if luminance is not None else metered_luminance(settings)
        view = project(scene, settings, self.sensor.width_mm, hand, lit)
        picture = develop(self.sensor.expose(view, settings, _generator(seed)), self.brightness)
        return _jpeg(picture, self.quality, self._exif(settings, taken_at, lens))

    def _exif(self, settings: Settings, taken_at: datetime, lens: str) -> Image.Exif:
        exif = _signed(MAKE, self.model, SOFTWARE)
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
    """A camera for 35 mm film, and the scanner that its slides go through. Nobody noted the settings.

    Attributes:
        stock: the film in it.
        scanner: what reads it.
        quality: of the scanner's JPEG, as Pillow counts.
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
        hand: Hand = TRIPOD,
        luminance: float | None = None,
    ) -> bytes:
        """Take a photograph and scan it; the arguments are those of `Body.take`."""
        lit = luminance if luminance is not None else metered_luminance(settings)
        view = project(scene, settings, 36.0, hand, lit)
        exposed = film.expose(view, settings, self.stock, 36.0 / scene.size[0])
        picture = film.scan(exposed, self.stock, self.scanner, _generator(seed))
        return _jpeg(picture, self.quality, _signed("Lightmeter Scanners", "Slidescan 35", FILM_SOFTWARE))


def project(scene: Scene, settings: Settings, width_mm: float, hand: Hand, luminance: float) -> Array:
    """Return what a lens throws onto a sensor while the shutter is open, (height, width, 3), in cd/m².

    Args:
        scene: what stands before the camera.
        settings: of the camera.
        width_mm: width of the sensor.
        hand: that holds the camera.
        luminance: average of the scene, in cd/m²; lamps do not count.
    """
    background, *others = scene.layers
    kernel = point_spread(scene, background, settings, width_mm, hand)
    view = _filtered(np.ascontiguousarray(background.paint[..., :3]), kernel)
    for layer in others:
        _lay(view, layer, point_spread(scene, layer, settings, width_mm, hand))
    light = np.array(scene.tint, np.float32) * np.float32(luminance / view.mean())
    return view * (light * optics.falloff(scene.size, width_mm, settings.focal_length_mm))


def point_spread(scene: Scene, layer: Layer, settings: Settings, width_mm: float, hand: Hand) -> Array:
    """Return the kernel that a point of a layer is spread by: the aperture's disc along the way it moves."""
    px_per_mm = scene.size[0] / width_mm
    focal = settings.focal_length_mm
    focus = focal * (1 + scene.width_m * 1000 / width_mm)
    blur = optics.blur_circle_mm(focal, settings.f_number, focus, focus * layer.depth) * px_per_mm
    speed = (layer.speed_m_s[0] * scene.px_per_m(layer.depth), layer.speed_m_s[1] * scene.px_per_m(layer.depth))
    way = motion.path(settings.exposure_time_s, speed, hand, focal * px_per_mm)
    return optics.combined(optics.disc(blur), way)


def _lay(view: Array, layer: Layer, kernel: Array) -> None:
    """Lay a spread layer over what is behind it; beyond the frame things go on as they are at its edge."""
    reach = (kernel.shape[1] // 2, kernel.shape[0] // 2)
    first = [max(layer.corner[axis] - reach[axis], 0) for axis in (0, 1)]
    ends = [layer.corner[axis] + layer.paint.shape[1 - axis] for axis in (0, 1)]
    last = [min(ends[axis] + reach[axis], view.shape[1 - axis]) for axis in (0, 1)]
    (left, top), (right, bottom) = first, last
    around = (layer.corner[1] - top, bottom - ends[1], layer.corner[0] - left, right - ends[0])
    wide = np.asarray(cv2.copyMakeBorder(layer.paint, *around, cv2.BORDER_REPLICATE), np.float32)
    wide = _filtered(wide, kernel)
    clear = 1 - wide[..., 3]
    behind = view[top:bottom, left:right]
    behind[:] = cv2.multiply(behind, cv2.merge((clear, clear, clear))) + wide[..., :3]


def _filtered(paint: Array, kernel: Array) -> Array:
    if kernel.size == 1:
        return paint.copy()
    return np.asarray(cv2.filter2D(paint, -1, kernel[::-1, ::-1], borderType=cv2.BORDER_REPLICATE))


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))


def _signed(make: str, model: str, software: str) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = make
    exif[ExifTags.Base.Model] = model
    exif[ExifTags.Base.Software] = software
    return exif


def _rational(value: float) -> IFDRational:
    return IFDRational(Fraction(value).limit_denominator(4000))


def _jpeg(picture: np.ndarray, quality: int, exif: Image.Exif) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, exif=exif)
    return file.getvalue()
