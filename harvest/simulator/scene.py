"""Scenes: textured layers at different distances."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lightmeter.harvest.simulator import backgrounds, objects
from lightmeter.harvest.simulator.canvas import Canvas
from lightmeter.harvest.simulator.optics import Array

Rng = np.random.Generator
Draw = Callable[[Canvas, Rng, float, float, float], None]


@dataclass(frozen=True)
class Layer:
    """Objects at one distance.

    Attributes:
        paint: Linear reflectance multiplied by coverage, and coverage, shape (height, width, 4).
        corner: Left and top of ``paint`` in the frame, in pixels.
        depth: Distance from the camera relative to the subject, whose depth is 1.
        speed_m_s: Speed of the objects, to the right and down.
    """

    paint: Array
    corner: tuple[int, int]
    depth: float
    speed_m_s: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """A scene, drawn for the frame in which it is photographed.

    Attributes:
        title: Kind of scene.
        size: Width and height in pixels.
        width_m: Width of the frame at the distance of the subject, in metres.
        layers: Layers from far to near; the first fills the frame.
        tint: Colour of the light.
    """

    title: str
    size: tuple[int, int]
    width_m: float
    layers: tuple[Layer, ...]
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def px_per_m(self, depth: float) -> float:
        """Return the number of pixels per metre at a depth."""
        return self.size[0] / (self.width_m * depth)


@dataclass(frozen=True)
class _Kind:
    """A kind of scene: widths in m, heights as fractions of the frame, speeds in m/s."""

    title: str
    background: Callable[[Canvas, Rng], None]
    width_m: tuple[float, float]
    background_depth: tuple[float, float]
    subjects: tuple[Draw, ...]
    subject_height: tuple[float, float]
    subject_speed: float
    movers: tuple[tuple[Draw, float, float], ...]
    foreground: Draw
    tint: tuple[float, float, float]


_KINDS = (
    _Kind("Garden", backgrounds.woodland, (0.35, 0.6), (6, 25), (objects.flower, objects.vase), (0.6, 0.9), 0.12,
          ((objects.person, 1.7, 1.4), (objects.ball, 0.5, 2.5)), objects.grass, (1.0, 1.0, 0.96)),
    _Kind("Street", backgrounds.street, (0.8, 1.3), (8, 30), (objects.person, objects.post), (0.9, 1.2), 0.15,
          ((objects.person, 1.7, 1.4), (objects.car, 1.5, 7.0)), objects.post, (1.0, 0.99, 0.97)),
    _Kind("Table", backgrounds.room, (0.5, 0.9), (3, 8), (objects.vase, objects.books), (0.5, 0.8), 0.03,
          ((objects.ball, 0.22, 1.0), (objects.person, 1.7, 1.0)), objects.flower, (1.0, 0.93, 0.82)),
    _Kind("Evening", backgrounds.evening, (0.8, 1.2), (8, 30), (objects.person, objects.post), (0.9, 1.2), 0.12,
          ((objects.person, 1.7, 1.4), (objects.car, 1.5, 5.0)), objects.grass, (1.0, 0.9, 0.78)),
)  # fmt: skip


def draw_scene(seed: int, size: tuple[int, int] = (640, 480)) -> Scene:
    """Draw a scene; the same seed gives the same scene.

    Args:
        seed: Random seed.
        size: Width and height in pixels.
    """
    kind, rng = _kind(seed)
    width_m = rng.uniform(*kind.width_m)
    layers = [_background(kind, rng, size), *_movers(kind, rng, size, width_m), _subject(kind, rng, size)]
    if rng.random() < 0.5:
        layers.append(_foreground(kind, rng, size))
    tint = tuple(float(channel * rng.uniform(0.96, 1.04)) for channel in kind.tint)
    return Scene(kind.title, size, width_m, tuple(layers), (tint[0], tint[1], tint[2]))


def title_of(seed: int) -> str:
    """Return the title of a scene without drawing it."""
    return _kind(seed)[0].title


def _kind(seed: int) -> tuple[_Kind, Rng]:
    rng = np.random.Generator(np.random.SFC64(seed))
    return _KINDS[int(rng.integers(len(_KINDS)))], rng


def _background(kind: _Kind, rng: Rng, size: tuple[int, int]) -> Layer:
    canvas = Canvas(size)
    kind.background(canvas, rng)
    return Layer(*canvas.textured(rng, 0.16), depth=rng.uniform(*kind.background_depth))


def _movers(kind: _Kind, rng: Rng, size: tuple[int, int], width_m: float) -> list[Layer]:
    """Return objects that move behind the subject, at the distance that corresponds to their height in the frame."""
    layers = []
    for _ in range(int(rng.integers(1, 3))):
        draw, height_m, speed = kind.movers[int(rng.integers(len(kind.movers)))]
        fraction = rng.uniform(0.3, 0.55)
        frame_m = width_m * size[1] / size[0]
        depth = max(height_m / (fraction * frame_m), 1.15)
        canvas = Canvas(size)
        height = size[0] / (width_m * depth) * height_m
        draw(canvas, rng, rng.uniform(0.1, 0.9) * size[0], rng.uniform(0.72, 0.92) * size[1], height)
        velocity = rng.choice((-1, 1)) * speed * rng.uniform(0.7, 1.3)
        layers.append(Layer(*canvas.textured(rng, 0.14), depth=depth, speed_m_s=(float(velocity), 0.0)))
    return sorted(layers, key=lambda layer: -layer.depth)


def _subject(kind: _Kind, rng: Rng, size: tuple[int, int]) -> Layer:
    canvas = Canvas(size)
    for _ in range(int(rng.integers(1, 4))):
        draw = kind.subjects[int(rng.integers(len(kind.subjects)))]
        height = rng.uniform(*kind.subject_height) * size[1]
        foot = max(0.94 * size[1], 0.05 * size[1] + height)
        draw(canvas, rng, rng.uniform(0.2, 0.8) * size[0], foot, height)
    direction = rng.uniform(0, 2 * np.pi)
    speed = kind.subject_speed * rng.uniform(0.5, 1.5)
    velocity = (float(speed * np.cos(direction)), float(0.4 * speed * np.sin(direction)))
    return Layer(*canvas.textured(rng, 0.14), depth=1.0, speed_m_s=velocity)


def _foreground(kind: _Kind, rng: Rng, size: tuple[int, int]) -> Layer:
    canvas = Canvas(size)
    side = float(rng.choice((0.04, 0.96)))
    kind.foreground(canvas, rng, side * size[0], size[1] * 1.05, size[1] * rng.uniform(0.5, 0.9))
    return Layer(*canvas.textured(rng, 0.12), depth=rng.uniform(0.45, 0.7), speed_m_s=(rng.uniform(-0.05, 0.05), 0.0))
