"""How well the simulator's aperture series can be read at most, by what a reader knows besides the background's blur.

    python benchmarks/aperture_bound.py [--scenes 10000] [--seed 1]

A point of the background becomes a disc of so many pixels. For one aperture it is the larger, the longer the lens and
the larger the sensor, and the narrower the scene; a photograph says none of these outright. The reader here measures
the disc without error, knows how often each disc and each aperture occur, and answers the full stop that is most often
at most one from the truth. It does not look at noise, from which a sensor may be told.
"""

import argparse

import numpy as np

from harvest.simulator import optics
from harvest.simulator.camera import Body
from harvest.simulator.scene import draw_scene
from harvest.simulator.series import STEPS, series_shot

_SMALL = (64, 48)
_BIN = 0.1  # stops
_PHOTOGRAPHERS = 200


def scene(seed: int, number: int) -> tuple[str, float, float, float, float]:
    """Return the kind of a scene, field of view, width and sensor, and the disc at f/1 in pixels, in stops."""
    shot = series_shot("aperture", seed, number * len(STEPS["aperture"]), _PHOTOGRAPHERS)
    assert isinstance(shot.camera, Body)
    sensor_mm, focal = shot.camera.sensor.width_mm, shot.settings.focal_length_mm
    drawn = draw_scene(shot.scene_seed, _SMALL)
    focus = focal * (1 + drawn.width_m * 1000 / sensor_mm)
    blur = optics.blur_circle_mm(focal, 1.0, focus, focus * drawn.layers[0].depth) / sensor_mm
    return shot.title, round(36 * focal / sensor_mm / 10), drawn.width_m, sensor_mm, 2 * np.log2(blur)


def within_one_stop(constants: np.ndarray) -> float:
    """Return the share that can be right at most where the disc at f/1 is spread like this, in stops."""
    stops = 2 * np.log2(STEPS["aperture"])
    places = np.round((constants[:, None] - stops) / _BIN).astype(int)
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
    scenes = [scene(chosen.seed, number) for number in range(chosen.scenes)]
    constants = np.asarray([one[-1] for one in scenes])
    known = {
        "nothing": [()] * len(scenes),
        "the kind of scene": [one[:1] for one in scenes],
        "kind and field of view": [one[:2] for one in scenes],
        "kind, field of view, and width to 10 cm": [(*one[:2], round(one[2], 1)) for one in scenes],
        "kind, field of view and sensor": [(*one[:2], one[3]) for one in scenes],
    }
    for name, keys in known.items():
        groups = {key: constants[[other == key for other in keys]] for key in set(keys)}
        right = sum(within_one_stop(some) * len(some) for some in groups.values()) / len(scenes)
        print(f"who knows {name}: at most {right:.1%} within one stop")


if __name__ == "__main__":
    main()
