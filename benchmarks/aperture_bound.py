"""How well the simulator's aperture series can be read at most, by what a reader knows besides the background's blur.

    python benchmarks/aperture_bound.py [--scenes 10000] [--seed 1]

A point of the background becomes a disc of so many pixels. For one aperture it is the larger, the longer the lens and
the larger the sensor, and the narrower the scene; a photograph says none of these outright. The reader here measures
the disc without error, knows how often each disc and each aperture occur, and answers the full stop that is most often
at most one from the truth. It does not look at noise, from which a sensor may be told.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lightmeter.harvest.simulator import optics
from lightmeter.harvest.simulator.camera import Body
from lightmeter.harvest.simulator.scene import draw_scene
from lightmeter.harvest.simulator.series import STEPS, series_shot

_SMALL = (64, 48)
_BIN = 0.1  # stops
_PHOTOGRAPHERS = 200


class Known(NamedTuple):
    """What there is to know of a scene and how it was taken.

    Attributes:
        kind: of the scene.
        view_mm: focal length that sees as much on a frame 36 mm wide, to 10 mm.
        width_m: how much of the world the frame is wide at the subject's distance, to 10 cm.
        sensor_mm: width of the sensor.
        disc: that a point of the background would be at f/1, in stops of aperture.
    """

    kind: str
    view_mm: int
    width_m: float
    sensor_mm: float
    disc: float


def known(seed: int, number: int) -> Known:
    shot = series_shot("aperture", seed, number * len(STEPS["aperture"]), _PHOTOGRAPHERS)
    assert isinstance(shot.camera, Body)
    sensor, focal = shot.camera.sensor.width_mm, shot.settings.focal_length_mm
    scene = draw_scene(shot.scene_seed, _SMALL)
    focus = focal * (1 + scene.width_m * 1000 / sensor)
    blur = optics.blur_circle_mm(focal, 1.0, focus, focus * scene.layers[0].depth) / sensor
    return Known(shot.title, round(36 * focal / sensor, -1), round(scene.width_m, 1), sensor, 2 * np.log2(blur))


def within_one_stop(discs: np.ndarray) -> float:
    """Return the share that can be right at most where the discs at f/1 are these, in stops."""
    stops = 2 * np.log2(STEPS["aperture"])
    places = np.round((discs[:, None] - stops) / _BIN).astype(int)
    places -= places.min()
    found = np.zeros((places.max() + 1, len(stops)))
    np.add.at(found, (places, np.arange(len(stops))), 1)
    near = np.abs(stops[:, None] - stops) < 1.1  # nominal f-numbers are not quite full stops
    return float((found @ near).max(1).sum() / found.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    scenes = [known(chosen.seed, number) for number in range(chosen.scenes)]
    readers: dict[str, Callable[[Known], tuple[object, ...]]] = {
        "nothing": lambda _: (),
        "the kind of scene": lambda one: (one.kind,),
        "kind and field of view": lambda one: (one.kind, one.view_mm),
        "kind, field of view and width": lambda one: (one.kind, one.view_mm, one.width_m),
        "kind, field of view and sensor": lambda one: (one.kind, one.view_mm, one.sensor_mm),
    }
    for told, reads in readers.items():
        alike = defaultdict(list)
        for one in scenes:
            alike[reads(one)].append(one.disc)
        right = sum(within_one_stop(np.asarray(discs)) * len(discs) for discs in alike.values()) / len(scenes)
        print(f"who knows {told}: at most {right:.1%} within one stop")


if __name__ == "__main__":
    main()
