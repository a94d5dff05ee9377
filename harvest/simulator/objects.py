"""Objects in scenes. Each function draws one, standing at (x, foot) and of a height in pixels."""

import math

import numpy as np

from lightmeter.harvest.simulator.canvas import Canvas, Colour, random_colour, shaded

Rng = np.random.Generator

GREENS: tuple[Colour, ...] = ((52, 92, 40), (78, 120, 52), (96, 140, 70), (40, 74, 44), (120, 148, 60))
SKINS: tuple[Colour, ...] = ((236, 196, 170), (198, 146, 112), (150, 102, 72), (96, 62, 46))
WOODS: tuple[Colour, ...] = ((96, 70, 48), (132, 98, 66), (74, 58, 46))


def flower(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a flower with its stem and two leaves."""
    green, petal = _choose(rng, GREENS), random_colour(rng, 0.7, 0.9)
    top, size = foot - height, height * rng.uniform(0.12, 0.2)
    canvas.line((x, foot), (x, top), green, height * 0.02 + 1)
    for side in (-1, 1):
        y = foot - height * rng.uniform(0.2, 0.5)
        canvas.ellipse((x + side * size, y), (size, size * 0.28), shaded(green, 1.2), -35 * side)
    petals, start = int(rng.integers(5, 10)), rng.uniform(0, 360)
    for number in range(petals):
        angle = start + 360 * number / petals
        centre = (x + size * 0.8 * math.cos(math.radians(angle)), top + size * 0.8 * math.sin(math.radians(angle)))
        canvas.ellipse(centre, (size * 0.72, size * 0.34), shaded(petal, rng.uniform(0.85, 1.1)), angle)
    canvas.ellipse((x, top), (size * 0.35, size * 0.35), (222, 176, 60))
    for _ in range(14):
        canvas.ellipse((x + rng.normal(0, size * 0.16), top + rng.normal(0, size * 0.16)), (1, 1), (120, 76, 30))


def person(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a standing or walking person in patterned clothes."""
    skin, coat, legs = _choose(rng, SKINS), random_colour(rng, 0.5, 0.7), random_colour(rng, 0.3, 0.4)
    head, shoulder, hip, width = foot - 0.92 * height, foot - 0.82 * height, foot - 0.48 * height, 0.13 * height
    step = rng.uniform(0.02, 0.12) * height
    for side in (-1, 1):
        canvas.line((x + side * width * 0.4, hip), (x + side * step, foot), legs, 0.085 * height)
        canvas.line(
            (x + side * width, shoulder + 0.04 * height),
            (x + side * width * 1.4, hip),
            shaded(coat, 0.8),
            0.06 * height,
        )
    canvas.polygon(
        ((x - width, shoulder), (x + width, shoulder), (x + width * 0.85, hip), (x - width * 0.85, hip)), coat
    )
    _stripes(canvas, rng, (x - width * 0.9, shoulder, x + width * 0.9, hip), shaded(coat, rng.uniform(0.4, 1.5)))
    canvas.rectangle(x - width * 0.3, head, x + width * 0.3, shoulder + 2, shaded(skin, 0.85))
    canvas.ellipse((x, head), (0.058 * height, 0.078 * height), skin)
    _face(canvas, rng, (x, head), height)


def _face(canvas: Canvas, rng: Rng, head: tuple[float, float], height: float) -> None:
    x, y = head
    hair = _choose(rng, ((40, 28, 20), (92, 60, 34), (160, 130, 84), (120, 116, 112)))
    canvas.ellipse((x, y - 0.045 * height), (0.062 * height, 0.045 * height), hair)
    for side in (-1, 1):
        canvas.ellipse((x + side * 0.024 * height, y), (0.008 * height, 0.005 * height), (40, 34, 30))
    canvas.line((x - 0.02 * height, y + 0.038 * height), (x + 0.02 * height, y + 0.038 * height), (140, 66, 60), 2)


def car(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a car from its side."""
    body, length = random_colour(rng, 0.6, 0.7), height * 2.7
    left, right, waist = x - length / 2, x + length / 2, foot - height * 0.6
    canvas.polygon(((left, foot - 0.15 * height), (left, waist), (right, waist), (right, foot - 0.15 * height)), body)
    roof = ((left + length * 0.15, waist), (left + length * 0.3, foot - height), (left + length * 0.7, foot - height),
            (left + length * 0.88, waist))  # fmt: skip
    canvas.polygon(roof, shaded(body, 0.9))
    for fraction in (0.33, 0.53):
        pane = left + length * fraction
        canvas.rectangle(pane, foot - height * 0.92, pane + length * 0.15, waist, (70, 84, 96))
    canvas.line((left, waist + height * 0.12), (right, waist + height * 0.12), (210, 210, 210), 2)
    for fraction in (0.2, 0.8):
        hub = (left + length * fraction, foot - height * 0.16)
        canvas.ellipse(hub, (height * 0.19, height * 0.19), (28, 28, 30))
        canvas.ellipse(hub, (height * 0.1, height * 0.1), (150, 150, 154))


def tree(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a tree with a crown of leaves."""
    wood, green = _choose(rng, WOODS), _choose(rng, GREENS)
    canvas.line((x, foot), (x + rng.normal(0, height * 0.04), foot - height * 0.6), wood, height * 0.07)
    for _ in range(90):
        centre = (x + rng.normal(0, height * 0.17), foot - height * 0.72 + rng.normal(0, height * 0.14))
        leaf = height * rng.uniform(0.015, 0.05)
        canvas.ellipse(centre, (leaf, leaf * 0.6), shaded(green, rng.uniform(0.6, 1.5)), rng.uniform(0, 180))


def ball(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a ball with coloured panels."""
    radius, angle = height / 2, rng.uniform(0, 360)
    first, second = random_colour(rng, 0.7, 0.8), random_colour(rng, 0.2, 0.9)
    canvas.ellipse((x, foot - radius), (radius, radius), first)
    for number in range(3):
        canvas.ellipse((x, foot - radius), (radius * 0.98, radius * 0.22), second, angle + 60 * number)
    canvas.ellipse((x - radius * 0.3, foot - radius * 1.35), (radius * 0.14, radius * 0.1), (250, 250, 246))


def vase(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a vase with a painted band and flowers in it."""
    clay, rim = random_colour(rng, 0.45, 0.6), foot - height * 0.5
    for _ in range(int(rng.integers(2, 5))):
        flower(canvas, rng, x + rng.normal(0, height * 0.11), rim + height * 0.05, height * rng.uniform(0.3, 0.5))
    canvas.ellipse((x, foot - height * 0.2), (height * 0.19, height * 0.21), clay)
    canvas.rectangle(x - height * 0.08, rim, x + height * 0.08, foot - height * 0.3, clay)
    canvas.rectangle(x - height * 0.11, rim - 3, x + height * 0.11, rim + height * 0.02, shaded(clay, 1.3))
    for number in range(9):
        centre = x + (number - 4) * height * 0.04
        canvas.ellipse((centre, foot - height * 0.2), (height * 0.012, height * 0.03), shaded(clay, 1.8))


def books(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a pile of books with lettering on their spines."""
    count = int(rng.integers(3, 7))
    thickness = height / count
    for number in range(count):
        width, bottom = height * rng.uniform(0.55, 0.8), foot - number * thickness
        left, cover = x - width / 2 + rng.normal(0, height * 0.04), random_colour(rng, 0.6, 0.6)
        canvas.rectangle(left, bottom - thickness + 1, left + width, bottom, cover)
        for letter in range(int(width // 7)):
            if rng.random() < 0.7:
                start = left + width * 0.08 + letter * 6
                canvas.line(
                    (start, bottom - thickness * 0.65), (start, bottom - thickness * 0.35), shaded(cover, 2.2), 2
                )


def grass(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a tuft of grass."""
    for _ in range(26):
        root, tip = x + rng.normal(0, height * 0.3), height * rng.uniform(0.5, 1.0)
        canvas.line(
            (root, foot), (root + rng.normal(0, height * 0.2), foot - tip), shaded(_choose(rng, GREENS), 1.2), 2
        )


def post(canvas: Canvas, rng: Rng, x: float, foot: float, height: float) -> None:
    """Draw a post of weathered wood, with a notice on it."""
    wood, width = _choose(rng, WOODS), height * 0.09
    canvas.rectangle(x - width / 2, foot - height, x + width / 2, foot, wood)
    for _ in range(7):
        grain = x + rng.uniform(-width / 2, width / 2)
        canvas.line((grain, foot), (grain, foot - height), shaded(wood, rng.uniform(0.6, 1.3)), 1)
    paper = (x - width * 1.6, foot - height * 0.9, x + width * 1.6, foot - height * 0.5)
    canvas.rectangle(*paper, (232, 228, 214))
    _stripes(canvas, rng, (paper[0] + 4, paper[1] + 4, paper[2] - 4, paper[3] - 4), (60, 56, 60))


def _stripes(canvas: Canvas, rng: Rng, box: tuple[float, float, float, float], colour: Colour) -> None:
    left, top, right, bottom = box
    step = max(4.0, (bottom - top) * rng.uniform(0.05, 0.15))
    for number in range(int((bottom - top) / step)):
        y = top + (number + 0.5) * step
        canvas.line((left, y), (right, y), colour, step * 0.3)


def _choose(rng: Rng, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]
