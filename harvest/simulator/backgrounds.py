"""Backgrounds: each fills the whole frame, with the ground in its lower part."""

from lightmeter.harvest.simulator.canvas import Canvas, Colour, random_colour, shaded
from lightmeter.harvest.simulator.objects import GREENS, WOODS, Rng, tree

LAMP: Colour = (255, 236, 190)


def woodland(canvas: Canvas, rng: Rng) -> None:
    """Draw trees against the sky, with gaps of light between the leaves."""
    _sky(canvas, rng)
    _ground(canvas, rng, canvas.height * 0.62, GREENS[int(rng.integers(len(GREENS)))])
    for _ in range(int(rng.integers(7, 12))):
        height = canvas.height * rng.uniform(0.5, 0.95)
        tree(canvas, rng, rng.uniform(0, canvas.width), canvas.height * rng.uniform(0.6, 0.75), height)
    for _ in range(60):
        centre, size = (rng.uniform(0, canvas.width), rng.uniform(0, canvas.height * 0.6)), rng.uniform(1, 2.5)
        canvas.ellipse(centre, (size, size), (250, 250, 240))


def street(canvas: Canvas, rng: Rng) -> None:
    """Draw a row of houses behind a pavement."""
    _sky(canvas, rng)
    foot, left = canvas.height * rng.uniform(0.6, 0.72), -rng.uniform(0, 80)
    _ground(canvas, rng, foot, (128, 124, 120))
    while left < canvas.width:
        width = rng.uniform(90, 200)
        _house(canvas, rng, (left, foot - canvas.height * rng.uniform(0.35, 0.62), left + width, foot))
        left += width


def room(canvas: Canvas, rng: Rng) -> None:
    """Draw a papered wall with framed paintings, and a table top."""
    paper = random_colour(rng, 0.25, 0.75)
    canvas.fill(paper)
    step = rng.uniform(12, 30)
    for number in range(int(canvas.width / step) + 1):
        canvas.line((number * step, 0), (number * step, canvas.height), shaded(paper, 0.82), step * 0.3)
    for _ in range(int(rng.integers(2, 5))):
        left, top = rng.uniform(0, canvas.width * 0.8), rng.uniform(0, canvas.height * 0.35)
        width, height = rng.uniform(60, 160), rng.uniform(60, 130)
        canvas.rectangle(left, top, left + width, top + height, (58, 44, 34))
        canvas.rectangle(left + 8, top + 8, left + width - 8, top + height - 8, random_colour(rng, 0.5, 0.8))
        for _ in range(6):
            centre = (left + rng.uniform(12, width - 12), top + rng.uniform(12, height - 12))
            canvas.ellipse(centre, (rng.uniform(3, 11), rng.uniform(3, 11)), random_colour(rng))
    _ground(canvas, rng, canvas.height * 0.66, WOODS[int(rng.integers(len(WOODS)))])


def evening(canvas: Canvas, rng: Rng) -> None:
    """Draw a street after sunset, with lit windows and lamps."""
    canvas.fill((74, 80, 108))
    foot, left = canvas.height * 0.66, -rng.uniform(0, 60)
    _ground(canvas, rng, foot, (84, 80, 84))
    while left < canvas.width:
        width, top = rng.uniform(80, 170), canvas.height * rng.uniform(0.05, 0.4)
        canvas.rectangle(left, top, left + width, foot, shaded((70, 64, 74), rng.uniform(0.7, 1.4)))
        for x in range(int(left) + 12, int(left + width) - 12, 26):
            for y in range(int(top) + 14, int(foot) - 20, 34):
                lit = rng.random() < 0.35
                canvas.rectangle(x, y, x + 13, y + 19, (250, 210, 140) if lit else (44, 46, 58))
        left += width
    for _ in range(26):
        centre, size = (rng.uniform(0, canvas.width), foot - rng.uniform(10, canvas.height * 0.45)), rng.uniform(1, 3)
        canvas.ellipse(centre, (size, size), LAMP if rng.random() < 0.7 else random_colour(rng, 0.8, 1.0))


def _sky(canvas: Canvas, rng: Rng) -> None:
    canvas.fill(shaded((168, 194, 222), rng.uniform(0.8, 1.1)))
    for _ in range(int(rng.integers(4, 12))):
        centre = (rng.uniform(0, canvas.width), rng.uniform(0, canvas.height * 0.4))
        canvas.ellipse(centre, (rng.uniform(30, 110), rng.uniform(8, 28)), (226, 230, 234))


def _ground(canvas: Canvas, rng: Rng, top: float, colour: Colour) -> None:
    """Draw ground with seams that run to a vanishing point."""
    canvas.rectangle(0, top, canvas.width, canvas.height, colour)
    middle, dark = canvas.width * rng.uniform(0.3, 0.7), shaded(colour, 0.8)
    for number in range(-8, 9):
        canvas.line((middle + number * 30, top), (middle + number * 170, canvas.height), dark, 2)
    for number in range(1, 7):
        at = top + (canvas.height - top) * (number / 7) ** 1.8
        canvas.line((0, at), (canvas.width, at), dark, 2)


def _house(canvas: Canvas, rng: Rng, box: tuple[float, float, float, float]) -> None:
    left, top, right, foot = box
    wall = random_colour(rng, 0.3, 0.7)
    canvas.rectangle(left, top, right, foot, wall)
    canvas.polygon(((left, top), ((left + right) / 2, top - 40), (right, top)), shaded(wall, 0.5))
    for y in range(int(top) + 6, int(foot), 9):
        canvas.line((left + 2, y), (right - 2, y), shaded(wall, 0.88), 1)
    for x in range(int(left) + 16, int(right) - 22, 36):
        for y in range(int(top) + 16, int(foot) - 26, 44):
            canvas.rectangle(x, y, x + 18, y + 27, (232, 230, 224))
            canvas.rectangle(x + 2, y + 2, x + 16, y + 25, shaded((66, 82, 98), rng.uniform(0.6, 1.5)))
