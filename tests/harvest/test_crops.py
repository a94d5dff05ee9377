"""``harvest crops``: regions cut out of their photographs."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tests.conftest import Lightmeter


def test_what_lies_inside_frames_is_cut_out(project: Path, tmp_path: Path, lightmeter: Lightmeter) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    scene = Image.fromarray(np.random.default_rng(0).integers(60, 200, (90, 120, 3), dtype=np.uint8))
    ImageOps.expand(scene, (10, 20, 30, 40), "white").save(folder / "framed.png")
    scene.save(folder / "plain.png")
    lightmeter("harvest", "run", "folder", folder)
    assert lightmeter("harvest", "crops", "inside", "--kind", "inside", "--margin", "0")["crops"] == 1
    with (project / "inside" / "crops.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["x"], row["y"], row["width"], row["height"]) == ("10", "20", "120", "90")
    with Image.open(project / "inside" / row["file"]) as cut:
        assert np.array_equal(np.asarray(cut), np.asarray(scene))
    assert lightmeter("harvest", "crops", "faces")["crops"] == 0
