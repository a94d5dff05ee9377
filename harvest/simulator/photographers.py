"""Simulated photographers and their shots: random ones, and controlled series in which one setting varies."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from lightmeter.exposure import NOMINAL_F_NUMBERS
from lightmeter.harvest.simulator.camera import Body, FilmBody
from lightmeter.harvest.simulator.film import Stock
from lightmeter.harvest.simulator.light import (
    EXPOSURE_TIMES,
    ISOS,
    Settings,
    luminance_from_ev,
    metered_iso,
    metered_luminance,
    nominal_iso,
)
from lightmeter.harvest.simulator.motion import CameraShake
from lightmeter.harvest.simulator.scene import draw_scene, title_of
from lightmeter.harvest.simulator.sensor import Sensor

Rng = np.random.Generator

_MODELS = (
    ("LM Full", Sensor(36.0, 24.0, 4.4), 2.0),
    ("LM Full II", Sensor(35.9, 23.9, 3.8), 2.3),
    ("LM Half", Sensor(23.5, 15.6, 3.9), 1.8),
    ("LM Half S", Sensor(22.3, 14.9, 3.2), 2.2),
    ("LM Quarter", Sensor(17.3, 13.0, 3.3), 2.0),
)
_STOCKS = (
    Stock("Chrome 50", 50, 8, 1.7, (3.1, 3.0, 3.2)),
    Stock("Chrome 100", 100, 10, 1.6, (2.9, 3.0, 2.9)),
    Stock("Chrome 400", 400, 16, 1.5, (2.7, 2.8, 3.0)),
    Stock("Chrome 1600", 1600, 24, 1.5, (2.8, 2.7, 2.6)),
)
_VIEWS_MM = (35, 50, 85)  # focal lengths with the same field of view on a frame 36 mm wide
_MAX_F_NUMBER = 22.0
_MAX_EV, _MIN_EV = 15.5, 1.0
_FIRST_DAY = datetime(2015, 1, 1)  # noqa: DTZ001 - EXIF holds local time


SeriesSetting = Literal["aperture", "iso", "shutter"]

SERIES_STEPS: dict[SeriesSetting, tuple[float, ...]] = {
    "aperture": (2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 22.0),
    "iso": (100, 200, 400, 800, 1600, 3200, 6400),
    "shutter": (1 / 1000, 1 / 500, 1 / 250, 1 / 125, 1 / 60, 1 / 30, 1 / 15, 1 / 8, 1 / 4, 1 / 2),
}
"""Values of the setting that varies in a series, in full stops."""

_SERIES_SETTINGS = {
    "aperture": Settings(5.6, 1 / 500, 200, 50.0),
    "iso": Settings(5.6, 1 / 500, 200, 50.0),
    "shutter": Settings(8.0, 1 / 125, 200, 50.0),
}
_SETTING_FIELDS = {"aperture": "f_number", "iso": "iso", "shutter": "exposure_time_s"}


@dataclass(frozen=True)
class Photographer:
    """A simulated photographer.

    Attributes:
        name: Name.
        bodies: One or two digital cameras.
        film: Film camera.
        min_f_number: Maximum aperture of the lenses.
        drift: Average drift of the camera, in radians per second.
        tremor: Amplitude of the tremor, in radians.
    """

    name: str
    bodies: tuple[Body, ...]
    film: FilmBody
    min_f_number: float
    drift: float
    tremor: float


@dataclass(frozen=True)
class Shot:
    """All parameters of a photograph.

    Attributes:
        photographer: Photographer.
        camera: Camera of the photographer.
        scene_seed: Random seed of the scene.
        settings: Camera settings.
        luminance: Luminance of the scene, in cd/m².
        shake: Camera shake.
        taken_at: Time of the shot.
    """

    photographer: Photographer
    camera: Body | FilmBody
    scene_seed: int
    settings: Settings
    luminance: float
    shake: CameraShake
    taken_at: datetime

    @property
    def title(self) -> str:
        """Title of the scene."""
        return title_of(self.scene_seed)

    def take(self, size: tuple[int, int]) -> bytes:
        """Take the photograph; the same shot and size give the same bytes."""
        scene = draw_scene(self.scene_seed, size)
        recorded: dict[str, Any] = {}
        if isinstance(self.camera, Body):
            lens = f"LM {self.settings.focal_length_mm:g} mm f/{self.photographer.min_f_number:g}"
            recorded = {"taken_at": self.taken_at, "lens": lens}
        return self.camera.take(
            scene, self.settings, seed=self.scene_seed, shake=self.shake, luminance=self.luminance, **recorded
        )


def photographer(seed: int, number: int) -> Photographer:
    """Return a photographer; the same seed and number give the same photographer."""
    rng = np.random.Generator(np.random.SFC64([seed, number, 1]))
    bodies = tuple(_body(rng) for _ in range(int(rng.integers(1, 3))))
    return Photographer(
        name=f"Simulated photographer {seed}-{number:03d}",
        bodies=bodies,
        film=FilmBody(_STOCKS[int(rng.integers(len(_STOCKS)))]),
        min_f_number=float(rng.choice((1.8, 2.0, 2.8))),
        drift=float(rng.uniform(0.03, 0.06)),
        tremor=float(rng.uniform(2e-4, 6e-4)),
    )


def shot(seed: int, index: int, photographers: int, film_share: float = 0.0) -> Shot:
    """Return a random shot; the same arguments give the same shot.

    Args:
        seed: Random seed.
        index: Number of the photograph.
        photographers: Number of photographers, who take turns.
        film_share: Fraction of photographs on film, 0 to 1.
    """
    rng = np.random.Generator(np.random.SFC64([seed, index, 2]))
    person = photographer(seed, index % photographers)
    on_film = rng.random() < film_share
    body = person.bodies[int(rng.integers(len(person.bodies)))]
    width_mm = 36.0 if on_film else body.sensor.width_mm
    focal = float(round(int(rng.choice(_VIEWS_MM)) * width_mm / 36.0))
    settings, luminance = _exposure(rng, person.min_f_number, focal, person.film.stock.iso if on_film else None)
    return Shot(
        photographer=person,
        camera=person.film if on_film else body,
        scene_seed=int(rng.integers(2**32)),
        settings=settings,
        luminance=luminance,
        shake=_shake(rng, person),
        taken_at=_FIRST_DAY + timedelta(minutes=int(rng.integers(10 * 365 * 24 * 60))),
    )


def series_shot(setting: SeriesSetting, seed: int, index: int, photographers: int) -> Shot:
    """Return a shot of a controlled series: the same scene, one setting varied, the others fixed.

    The light follows the setting, as in a studio, so that all photographs are equally bright and differ only in noise,
    depth of field or motion blur. The scene changes after each complete series.

    Args:
        setting: Setting that varies.
        seed: Random seed.
        index: Number of the photograph; scene by scene, and in each along the setting.
        photographers: Number of photographers, who take turns, one series each.
    """
    steps = SERIES_STEPS[setting]
    scene_index, step = divmod(index, len(steps))
    base = shot(seed, scene_index, photographers)
    changes: dict[str, Any] = {_SETTING_FIELDS[setting]: steps[step], "focal_length_mm": base.settings.focal_length_mm}
    settings = replace(_SERIES_SETTINGS[setting], **changes)
    return replace(
        base, settings=settings, luminance=metered_luminance(settings), taken_at=base.taken_at + timedelta(minutes=step)
    )


def _body(rng: Rng) -> Body:
    model, sensor, brightness = _MODELS[int(rng.integers(len(_MODELS)))]
    serial = f"LM{int(rng.integers(10**8)):08d}"
    return Body(model, serial, sensor, brightness * float(rng.uniform(0.95, 1.05)), int(rng.integers(90, 97)))


def _exposure(rng: Rng, min_f_number: float, focal_length_mm: float, film_iso: int | None) -> tuple[Settings, float]:
    """Return random settings and the luminance that they expose correctly.

    Aperture and time are drawn in third stops, and the ISO follows from the luminance, to the nearest third of a stop;
    combinations without such an ISO are rejected. The speed of film is fixed, so there the luminance follows.
    """
    apertures = [number for number in NOMINAL_F_NUMBERS if min_f_number <= number <= _MAX_F_NUMBER]
    while True:
        f_number, seconds = float(rng.choice(apertures)), float(rng.choice(EXPOSURE_TIMES))
        darkest, brightest = luminance_from_ev(_MIN_EV), luminance_from_ev(_MAX_EV)
        luminance = math.exp(rng.uniform(math.log(darkest), math.log(brightest)))
        if film_iso is not None:
            luminance = metered_luminance(Settings(f_number, seconds, film_iso, focal_length_mm))
        iso = metered_iso(f_number, seconds, luminance)
        if film_iso is not None and darkest <= luminance <= brightest:
            return Settings(f_number, seconds, film_iso, focal_length_mm), luminance
        if film_iso is None and ISOS[0] <= iso <= ISOS[-1]:
            return Settings(f_number, seconds, nominal_iso(iso), focal_length_mm), luminance


def _shake(rng: Rng, person: Photographer) -> CameraShake:
    drift_angle, tremor_angle = rng.uniform(0, 2 * math.pi, 2)
    drift = person.drift * rng.uniform(0.6, 1.6)
    return CameraShake(
        drift=(float(drift * math.cos(drift_angle)), float(drift * math.sin(drift_angle))),
        tremor=(float(person.tremor * math.cos(tremor_angle)), float(person.tremor * math.sin(tremor_angle))),
        frequency_hz=float(rng.uniform(8, 12)),
        phase=float(rng.uniform(0, 2 * math.pi)),
    )
