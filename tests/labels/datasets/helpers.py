"""Data sets of catalogued photographs."""

import hashlib
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from sqlalchemy import update

from lightmeter.harvest.catalogue.models import Image
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.datasets.dataset import Dataset, read_dataset
from lightmeter.labels.targets.registry import get_target
from tests.support import encode_image, run_text

FAST, SLOW = 1 / 1000, 1 / 15


def add_photographers(catalogue: Any, photographers: int = 12, each: int = 5) -> None:
    """Fill an empty catalogue with photographers of alternating fast and slow photographs, and label these."""
    catalogue.fill_once(_fill, photographers, each)


def _fill(catalogue: Any, photographers: int, each: int) -> None:
    for person in range(photographers):
        for index in range(each):
            seconds = FAST if (person + index) % 2 else SLOW
            catalogue.photograph(owner=f"person {person}", make="Canon", model="EOS", exposure_time_s=seconds)
    apply_rules(catalogue, "shutter-binary", "medium")


def apply_rules(catalogue: Any, *targets: str) -> None:
    """Label photographs by the rules of targets."""
    apply(catalogue.engine, [get_target(name) for name in targets])


def store_image(
    catalogue: Any, image: PillowImage.Image, *, exif: PillowImage.Exif | None = None, **values: Any
) -> str:
    """Add a photograph with a JPEG file in the store and return its SHA-256."""
    image_id = catalogue.photograph(**values)
    data = encode_image(image, exif=exif or PillowImage.Exif())
    sha256 = hashlib.sha256(data).hexdigest()
    catalogue.project.store.put(sha256, data)
    with catalogue.engine.begin() as connection:
        size = {"width": image.width, "height": image.height}
        connection.execute(update(Image).where(Image.id == image_id).values(sha256=sha256, **size))
    return sha256


def create_dataset(*options: str, name: str = "one", target: str = "shutter-binary") -> Dataset:
    """Run ``labels split`` and return the data set."""
    run_text("labels", "split", name, "--target", target, *options)
    return read_dataset(Path("datasets") / name)


def splits_by(dataset: Dataset, column: str) -> dict[str, set[str]]:
    """Return the splits in which each value of a column occurs."""
    splits: dict[str, set[str]] = {}
    for row in dataset.rows():
        splits.setdefault(row[column], set()).add(row["split"])
    return splits
