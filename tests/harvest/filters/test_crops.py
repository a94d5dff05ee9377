"""``harvest crops``."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from sqlalchemy import insert, select

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import Image as ImageRecord
from lightmeter.harvest.catalogue.models import Region
from lightmeter.project import find_project
from tests.support import CommandRunner


def test_area_inside_frames_is_cut_out(project: Path, tmp_path: Path, lightmeter: CommandRunner) -> None:
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
    with Image.open(project / "inside" / row["file"]) as image:
        assert np.array_equal(np.asarray(image), np.asarray(scene))
    none = lightmeter.run("harvest", "crops", "faces")
    assert (none.code, "No photograph has a face" in none.error) == (1, True)


def test_manual_regions_replace_detected_ones(project: Path, tmp_path: Path, lightmeter: CommandRunner) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    scene = Image.fromarray(np.random.default_rng(0).integers(60, 200, (90, 120, 3), dtype=np.uint8))
    for name in ("first.png", "second.png"):
        ImageOps.expand(scene.rotate(180 * (name == "second.png")), (10, 20, 30, 40), "white").save(folder / name)
    lightmeter("harvest", "run", "folder", folder)
    engine = open_engine(find_project())
    region = {"kind": "inside", "origin": "manual", "x": 5, "y": 6}
    with engine.begin() as connection:
        first, second = connection.scalars(select(ImageRecord.id).order_by(ImageRecord.id))
        connection.execute(insert(Region).values(**region, image_id=first, width=50, height=40))
        connection.execute(insert(Region).values(**region, image_id=second, width=0, height=0))  # no frame
    engine.dispose()
    assert lightmeter("harvest", "crops", "inside", "--kind", "inside", "--margin", "0")["crops"] == 1
    with (project / "inside" / "crops.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["x"], row["y"], row["width"], row["height"]) == ("5", "6", "50", "40")
