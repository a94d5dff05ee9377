"""Freezing data sets in tests."""

from pathlib import Path
from typing import Any

from lightmeter.cli import main
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.datasets.dataset import Dataset, read_dataset
from lightmeter.labels.targets.registry import get_target
from tests.support import run_error

FAST, SLOW = 1 / 1000, 1 / 15


def fill(catalogue: Any, photographers: int = 12, each: int = 5) -> None:
    """Add photographers who take fast and slow photographs in turn."""
    for person in range(photographers):
        for index in range(each):
            seconds = FAST if (person + index) % 2 else SLOW
            catalogue.photograph(owner=f"person {person}", make="Canon", model="EOS", exposure_time_s=seconds)
    apply(catalogue.engine, [get_target("shutter-binary"), get_target("medium")])


def freeze(*options: str, name: str = "one", target: str = "shutter-binary") -> Dataset:
    assert main(["labels", "split", name, "--target", target, *options]) == 0
    return read_dataset(Path("datasets") / name)


def split_error(*args: str) -> str:
    """Run ``labels split``, which must fail, and return its message."""
    return run_error("labels", "split", *args)


def sides_by(dataset: Dataset, column: str) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for row in dataset.rows():
        sides.setdefault(row[column], set()).add(row["split"])
    return sides
