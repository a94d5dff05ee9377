"""Helpers for tests of annotations."""

from typing import Any

from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.targets.registry import get_target
from tests.support import run_json


def add_labelled_photographs(catalogue: Any) -> None:
    """Fill an empty catalogue with four digital photographs, ``1.jpg`` to ``4.jpg``, labelled by rules."""
    catalogue.fill_once(_fill)


def _fill(catalogue: Any) -> None:
    for index in range(4):
        catalogue.photograph(medium="digital", exposure_time_s=1 / 2 ** (index + 3))
    apply(catalogue.engine, [get_target("medium"), get_target("shutter")])


def effective_labels(photograph: str) -> dict[str, str]:
    """Return the effective label of each target of a photograph."""
    (history,) = run_json("labels", "show", photograph)
    return {row["target"]: row["value"] for row in history["labels"] if row["effective"]}
