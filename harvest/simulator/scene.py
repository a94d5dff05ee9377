"""Scenes: textured layers, one behind the other, at distances that are multiples of the subject's."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lightmeter.harvest.simulator import backgrounds
from lightmeter.harvest.simulator import objects as things
from lightmeter.harvest.simulator.canvas import Canvas
from lightmeter.harvest.simulator.optics import Array

Rng = np.random.Generator
Draw = Callable[[Canvas, Rng, float, float, float], None]


@dataclass(frozen=True)
class Layer:
    """Things at one distance.

    Attributes:
        paint: linear reflectance times cover, and cover, (height, width, 4).
        corner: left and top of ``paint`` in the picture, in pixels.
        depth: distance from the camera over the subject's; the subject's is 1.
        speed_m_s: how the things move, to the right and down.
    """

    paint: Array
    corner: tuple[int, int]
    depth: float
    speed_m_s: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """What stands before a camera, drawn for the frame in which it is photographed.

    Attributes:
        title: what there is to see.
        size: width and height in pixels.
        width_m: how much of the world the frame is wide at the subject's distance.
        layers: from far to near; the first covers the frame.
        tint: colour of the light.
    """

    title: str
    size: tuple[int, int]
    width_m: float
    layers: tuple[Layer, ...]
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def px_per_m(self, depth: float) -> float:
        """Return how many pixels show one metre at a depth."""
        return self.size[0] / (self.width_m * depth)


@dataclass(frozen=True)
class _Kind:
    """A kind of scene: what stands where, with widths in m, heights as shares of the frame's and speeds in m/s."""

    title: str
    background: Callable[[Canvas, Rng], None]
    width_m: tuple[float, float]
    far: tuple[float, float]
    subjects: tuple[Draw, ...]
    subject_height: tuple[float, float]
    subject_speed: float
    movers: tuple[tuple[Draw, float, float], ...]
    nearby: Draw
    tint: tuple[float, float, float]


_KINDS = (
    _Kind("Garden", backgrounds.woodland, (0.35, 0.6), (6, 25), (things.flower, things.vase), (0.6, 0.9), 0.12,
          ((things.person, 1.7, 1.4), (things.ball, 0.5, 2.5)), things.grass, (1.0, 1.0, 0.96)),
    _Kind("Street", backgrounds.street, (0.8, 1.3), (8, 30), (things.person, things.post), (0.9, 1.2), 0.15,
          ((things.person, 1.7, 1.4), (things.car, 1.5, 7.0)), things.post, (1.0, 0.99, 0.97)),
    _Kind("Table", backgrounds.room, (0.5, 0.9), (3, 8), (things.vase, things.books), (0.5, 0.8), 0.03,
          ((things.ball, 0.22, 1.0), (things.person, 1.7, 1.0)), things.flower, (1.0, 0.93, 0.82)),
    _Kind("Evening", backgrounds.evening, (0.8, 1.2), (8, 30), (things.person, things.post), (0.9, 1.2), 0.12,
          ((things.person, 1.7, 1.4), (things.car, 1.5, 5.0)), things.grass, (1.0, 0.9, 0.78)),
)  # fmt: skip


def draw_scene(seed: int, size: tuple[int, int] = (640, 480)) -> Scene:
    """Draw a scene; the same seed draws the same one.

    Args:
        seed: of everything that chance decides.
        size: width and height in pixels.
    """
    kind, rng = _kind(seed)
    width_m = rng.uniform(*kind.width_m)
    layers = [_background(kind, rng, size), *_movers(kind, rng, size, width_m), _subject(kind, rng, size)]
    if rng.random() < 0.5:
        layers.append(_near(kind, rng, size))
    tint = tuple(float(channel * rng.uniform(0.96, 1.04)) for channel in kind.tint)
    return Scene(kind.title, size, width_m, tuple(layers), (tint[0], tint[1], tint[2]))


def title_of(seed: int) -> str:
    """Return the title of the scene that a seed draws, without drawing it."""
    return _kind(seed)[0].title


def _kind(seed: int) -> tuple[_Kind, Rng]:
    rng = np.random.Generator(np.random.SFC64(seed))
    return _KINDS[int(rng.integers(len(_KINDS)))], rng


def _background(kind: _Kind, rng: Rng, size: tuple[int, int]) -> Layer:
    canvas = Canvas(size)
    kind.background(canvas, rng)
    return Layer(*canvas.textured(rng, 0.16), depth=rng.uniform(*kind.far))


def _movers(kind: _Kind, rng: Rng, size: tuple[int, int], width_m: float) -> list[Layer]:
    """Return things that cross the view behind the subject, as far away as makes them as high as they look."""
    layers = []
    for _ in range(int(rng.integers(1, 3))):
        draw, height_m, speed = kind.movers[int(rng.integers(len(kind.movers)))]
        share = rng.uniform(0.3, 0.55)
        frame_m = width_m * size[1] / size[0]
        depth = max(height_m / (share * frame_m), 1.15)
        canvas = Canvas(size)
        high = size[0] / (width_m * depth) * height_m
        draw(canvas, rng, rng.uniform(0.1, 0.9) * size[0], rng.uniform(0.72, 0.92) * size[1], high)
        way = rng.choice((-1, 1)) * speed * rng.uniform(0.7, 1.3)
        layers.append(Layer(*canvas.textured(rng, 0.14), depth=depth, speed_m_s=(float(way), 0.0)))
    return sorted(layers, key=lambda layer: -layer.depth)


def _subject(kind: _Kind, rng: Rng, size: tuple[int, int]) -> Layer:
    canvas = Canvas(size)
    for _ in range(int(rng.integers(1, 4))):
        draw = kind.subjects[int(rng.integers(len(kind.subjects)))]
        high = rng.uniform(*kind.subject_height) * size[1]
        foot = max(0.94 * size[1], 0.05 * size[1] + high)
        draw(canvas, rng, rng.uniform(0.2, 0.8) * size[0], foot, high)
    direction = rng.uniform(0, 2 * np.pi)
    speed = kind.subject_speed * rng.uniform(0.5, 1.5)
    moves = (float(speed * np.cos(direction)), float(0.4 * speed * np.sin(direction)))
    return Layer(*canvas.textured(rng, 0.14), depth=1.0, speed_m_s=moves)


def _near(kind: _Kind, rng: Rng, size: tuple[int, int]) -> Layer:
    canvas = Canvas(size)
    side = float(rng.choice((0.04, 0.96)))
    kind.nearby(canvas, rng, side * size[0], size[1] * 1.05, size[1] * rng.uniform(0.5, 0.9))
    return Layer(*canvas.textured(rng, 0.12), depth=rng.uniform(0.45, 0.7), speed_m_s=(rng.uniform(-0.05, 0.05), 0.0))
