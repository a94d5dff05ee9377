"""Compute an upper bound of the accuracy on the simulator's aperture series.

    python -m benchmarks.aperture_bound [--scenes 10000] [--seed 1]

A point of the background becomes a disc. At the same aperture the disc is larger with a longer lens, a larger sensor
and a narrower scene, and none of these is visible in a photograph. The ideal observer of this benchmark measures the
disc without error, knows the distribution of discs and apertures, and predicts the full stop that is most often within
one stop of the true aperture. The observer ignores noise, from which the sensor could be inferred. Prints a bound for
each set of facts that the observer may know besides the disc.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lightmeter.harvest.simulator import optics
from lightmeter.harvest.simulator.camera import Body
from lightmeter.harvest.simulator.photographers import SERIES_STEPS, series_shot
from lightmeter.harvest.simulator.scene import draw_scene

_THUMBNAIL = (64, 48)  # pixels
_BIN = 0.1  # stops
_PHOTOGRAPHERS = 200
_TOLERANCE = 1.1  # stops; nominal f-numbers are not exactly full stops


class SceneFacts(NamedTuple):
    """Facts about a scene and its camera that an observer may know.

    Attributes:
        kind: Kind of the scene.
        focal_length_35mm: Focal length with the same field of view on a frame 36 mm wide, rounded to 10 mm.
        width_m: Width of the frame at the subject's distance, rounded to 10 cm.
        sensor_mm: Width of the sensor.
        disc_stops: Diameter of the disc of a background point at f/1, in stops of aperture.
    """

    kind: str
    focal_length_35mm: int
    width_m: float
    sensor_mm: float
    disc_stops: float


OBSERVERS: dict[str, Callable[[SceneFacts], tuple[object, ...]]] = {
    "nothing else": lambda _: (),
    "the kind of scene": lambda scene: (scene.kind,),
    "kind and field of view": lambda scene: (scene.kind, scene.focal_length_35mm),
    "kind, field of view and width": lambda scene: (scene.kind, scene.focal_length_35mm, scene.width_m),
    "kind, field of view and sensor": lambda scene: (scene.kind, scene.focal_length_35mm, scene.sensor_mm),
}


def scene_facts(seed: int, index: int) -> SceneFacts:
    """Return the facts about a scene of the aperture series."""
    shot = series_shot("aperture", seed, index * len(SERIES_STEPS["aperture"]), _PHOTOGRAPHERS)
    assert isinstance(shot.camera, Body)
    sensor, focal_length = shot.camera.sensor.width_mm, shot.settings.focal_length_mm
    scene = draw_scene(shot.scene_seed, _THUMBNAIL)
    focus = focal_length * (1 + scene.width_m * 1000 / sensor)
    disc = optics.blur_circle_mm(focal_length, 1.0, focus, focus * scene.layers[0].depth) / sensor
    equivalent = 10 * round(3.6 * focal_length / sensor)
    return SceneFacts(shot.title, equivalent, round(scene.width_m, 1), sensor, 2 * np.log2(disc))


def within_one_stop(discs: np.ndarray) -> float:
    """Return the highest possible share within one stop for scenes with these discs at f/1, in stops."""
    stops = 2 * np.log2(SERIES_STEPS["aperture"])
    bins = np.round((discs[:, None] - stops) / _BIN).astype(int)
    bins -= bins.min()
    counts = np.zeros((bins.max() + 1, len(stops)))
    np.add.at(counts, (bins, np.arange(len(stops))), 1)
    near = np.abs(stops[:, None] - stops) < _TOLERANCE
    return float((counts @ near).max(1).sum() / counts.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=10000, help="number of scenes (default: 10000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulator (default: 1)")
    options = parser.parse_args()
    scenes = [scene_facts(options.seed, index) for index in range(options.scenes)]
    for observer, key in OBSERVERS.items():
        discs_by_key = defaultdict(list)
        for scene in scenes:
            discs_by_key[key(scene)].append(scene.disc_stops)
        bound = sum(within_one_stop(np.asarray(discs)) * len(discs) for discs in discs_by_key.values()) / len(scenes)
        print(f"observer who knows {observer}: at most {bound:.1%} within one stop")


if __name__ == "__main__":
    main()
