"""Those who take the photographs: their cameras, lenses, steady or shaky hands, and what they set."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from lightmeter.exposure import NOMINAL_F_NUMBERS
from lightmeter.harvest.simulator.camera import Body, FilmBody
from lightmeter.harvest.simulator.film import Stock
from lightmeter.harvest.simulator.light import (
    EXPOSURE_TIMES,
    SPEEDS,
    Settings,
    luminance_of_ev,
    metered_luminance,
    metered_speed,
    nominal,
)
from lightmeter.harvest.simulator.motion import Hand
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
_VIEWS_MM = (35, 50, 85)
_NARROWEST = 22.0
_BRIGHTEST_EV, _DARKEST_EV = 15.5, 1.0
_FIRST_DAY = datetime(2015, 1, 1)  # noqa: DTZ001 - EXIF has the local time of the place


@dataclass(frozen=True)
class Photographer:
    """One who takes photographs, always with the same one or two bodies.

    Attributes:
        name: of this simulated person.
        bodies: digital cameras that they own.
        film: what they shoot slides with.
        widest: the widest aperture of their lenses.
        drift: how fast their hand turns, in radians a second, on average.
        tremor: its tremor's amplitude in radians.
    """

    name: str
    bodies: tuple[Body, ...]
    film: FilmBody
    widest: float
    drift: float
    tremor: float


@dataclass(frozen=True)
class Shot:
    """One photograph that is to be taken.

    Attributes:
        photographer: who takes it.
        camera: with what.
        scene_seed: of what.
        settings: how.
        luminance: of the scene, cd/m².
        hand: that holds the camera.
        taken_at: when.
    """

    photographer: Photographer
    camera: Body | FilmBody
    scene_seed: int
    settings: Settings
    luminance: float
    hand: Hand
    taken_at: datetime

    @property
    def title(self) -> str:
        """What there is to see."""
        return title_of(self.scene_seed)

    def take(self, size: tuple[int, int]) -> bytes:
        """Take it; the same shot and size give the same bytes."""
        scene = draw_scene(self.scene_seed, size)
        if isinstance(self.camera, FilmBody):
            return self.camera.take(
                scene, self.settings, seed=self.scene_seed, hand=self.hand, luminance=self.luminance
            )
        return self.camera.take(
            scene,
            self.settings,
            seed=self.scene_seed,
            hand=self.hand,
            luminance=self.luminance,
            taken_at=self.taken_at,
            lens=f"LM {self.settings.focal_length_mm:g} mm f/{self.photographer.widest:g}",
        )


def photographer(seed: int, number: int) -> Photographer:
    """Return a photographer; the same seed and number, the same person."""
    rng = np.random.Generator(np.random.SFC64([seed, number, 1]))
    bodies = tuple(_body(rng) for _ in range(int(rng.integers(1, 3))))
    return Photographer(
        name=f"Simulated photographer {seed}-{number:03d}",
        bodies=bodies,
        film=FilmBody(_STOCKS[int(rng.integers(len(_STOCKS)))]),
        widest=float(rng.choice((1.8, 2.0, 2.8))),
        drift=float(rng.uniform(0.03, 0.06)),
        tremor=float(rng.uniform(2e-4, 6e-4)),
    )


def shot(seed: int, index: int, photographers: int, film_share: float = 0.0) -> Shot:
    """Return the photograph of a number: who takes it, of what and how.

    Args:
        seed: of everything.
        index: number of the photograph.
        photographers: how many take turns.
        film_share: how many of all photographs are taken on film, 0 to 1.
    """
    rng = np.random.Generator(np.random.SFC64([seed, index, 2]))
    person = photographer(seed, index % photographers)
    on_film = rng.random() < film_share
    body = person.bodies[int(rng.integers(len(person.bodies)))]
    focal = _focal_length(36.0 if on_film else body.sensor.width_mm, int(rng.choice(_VIEWS_MM)))
    settings, luminance = _exposure(rng, person.widest, focal, person.film.stock.iso if on_film else None)
    return Shot(
        photographer=person,
        camera=person.film if on_film else body,
        scene_seed=int(rng.integers(2**32)),
        settings=settings,
        luminance=luminance,
        hand=_hand(rng, person),
        taken_at=_FIRST_DAY + timedelta(minutes=int(rng.integers(10 * 365 * 24 * 60))),
    )


def varied(base: Shot, settings: Settings, minute: int) -> Shot:
    """Return the same photograph with other settings, and the light dimmed or raised so that they are right."""
    return replace(
        base,
        settings=settings,
        luminance=metered_luminance(settings),
        taken_at=base.taken_at + timedelta(minutes=minute),
    )


def _body(rng: Rng) -> Body:
    model, sensor, brightness = _MODELS[int(rng.integers(len(_MODELS)))]
    serial = f"LM{int(rng.integers(10**8)):08d}"
    return Body(model, serial, sensor, brightness * float(rng.uniform(0.95, 1.05)), int(rng.integers(90, 97)))


def _focal_length(width_mm: float, view_mm: int) -> float:
    """Return the focal length that sees as wide as `view_mm` does on a frame 36 mm wide, in whole millimetres."""
    return float(round(view_mm * width_mm / 36.0))


def _exposure(rng: Rng, widest: float, focal_length_mm: float, film_speed: int | None) -> tuple[Settings, float]:
    """Return settings for a light in which they are right, and its luminance.

    Aperture and time are chosen freely, in third stops; the camera's automatic then finds the speed, to the nearest
    third of a stop. Lights for which there is no such speed are left for another day. A film's speed is what it is, so
    there the light is found.
    """
    apertures = [number for number in NOMINAL_F_NUMBERS if widest <= number <= _NARROWEST]
    while True:
        f_number, seconds = float(rng.choice(apertures)), float(rng.choice(EXPOSURE_TIMES))
        darkest, brightest = luminance_of_ev(_DARKEST_EV), luminance_of_ev(_BRIGHTEST_EV)
        luminance = math.exp(rng.uniform(math.log(darkest), math.log(brightest)))
        if film_speed is not None:
            luminance = metered_luminance(Settings(f_number, seconds, film_speed, focal_length_mm))
        speed = metered_speed(f_number, seconds, luminance)
        if film_speed is not None and darkest <= luminance <= brightest:
            return Settings(f_number, seconds, film_speed, focal_length_mm), luminance
        if film_speed is None and SPEEDS[0] <= speed <= SPEEDS[-1]:
            return Settings(f_number, seconds, nominal(speed), focal_length_mm), luminance


def _hand(rng: Rng, person: Photographer) -> Hand:
    angle, way = rng.uniform(0, 2 * math.pi, 2)
    drift = person.drift * rng.uniform(0.6, 1.6)
    return Hand(
        drift=(float(drift * math.cos(angle)), float(drift * math.sin(angle))),
        tremor=(float(person.tremor * math.cos(way)), float(person.tremor * math.sin(way))),
        frequency_hz=float(rng.uniform(8, 12)),
        phase=float(rng.uniform(0, 2 * math.pi)),
    )
