"""Photographs at the start of a report: for each class the best and the worst prediction and a typical one."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightmeter.errors import LightmeterError
from lightmeter.files import write_atomic
from lightmeter.images.crops import crop_bytes
from lightmeter.images.geometry import Box
from lightmeter.images.reader import display_image
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.predictions import CLASS_SEPARATOR
from lightmeter.models.runtime.spec import Target
from lightmeter.style import browser_url

_SIDE = 240  # pixels
_MAX_CLASSES = 24


class Example(NamedTuple):
    """A photograph of a report.

    Attributes:
        name: Its true class.
        kind: Why it is shown.
        file: File name, or id at the source.
        predicted: Predicted class or classes.
        confidence: Predicted probability of the true class.
        wrong: Whether the true class is not predicted.
        url: The picture as a data URL.
    """

    name: str
    kind: str
    file: str
    predicted: str
    confidence: float
    wrong: bool
    url: str


def write_examples(folder: Path, target: Target, rows: Sequence[Mapping[str, Any]], dataset: Dataset) -> None:
    """Write the pictures of a target's examples into ``plots/``; photographs that cannot be read are left out.

    Args:
        folder: Run folder.
        target: Target of the model.
        rows: Rows of ``predictions.parquet`` of one split.
        dataset: Data set with the photographs.
    """
    for _, _, row in _select(rows, target.name, target.classes):
        content = io.BytesIO()
        try:
            data, crop = dataset.read(row["sha256"]), row["crop"]
            picture = display_image(data if crop is None else crop_bytes(data, Box(*crop)), _SIDE)
            picture.convert("RGB").save(content, "JPEG", quality=82)
        except (OSError, ValueError, LightmeterError):
            continue
        write_atomic(_file(folder, row), content.getvalue())


def read_examples(
    folder: Path, target: str, rows: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> list[Example]:
    """Return the examples of a target whose pictures were written, in the order of its classes."""
    examples = []
    for name, kind, row in _select(rows, target, classes):
        file = _file(folder, row)
        if file.is_file():
            url = f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode()}"
            predicted = row["predicted"].replace(CLASS_SEPARATOR, ", ") or "none"
            wrong = name not in row["predicted"].split(CLASS_SEPARATOR)
            confidence = row["probabilities"][classes.index(name)]
            examples.append(Example(name, kind, row["file"] or row["sha256"][:12], predicted, confidence, wrong, url))
    return examples


def photographs_url(run: str, target: str, split: str, truth: str, predicted: str) -> str:
    """Return the address at which ``lightmeter browse`` shows the photographs of a cell of a confusion matrix."""
    cell = {"target": target, "predictions": run, "split": split, "truth": truth, "predicted": predicted}
    return browser_url(cell)


def _select(
    rows: Sequence[Mapping[str, Any]], target: str, classes: Sequence[str]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield class, kind and row of each example, for at most the first `_MAX_CLASSES` classes."""
    of_target = [row for row in rows if row["target"] == target]
    for index, name in enumerate(classes[:_MAX_CLASSES]):
        members = [row for row in of_target if name in row["truth"].split(CLASS_SEPARATOR)]
        if not members:
            continue
        ordered = sorted(members, key=lambda row: (-row["probabilities"][index], row["sha256"]))
        hits = [row for row in ordered if name in row["predicted"].split(CLASS_SEPARATOR)]
        misses = [row for row in ordered if name not in row["predicted"].split(CLASS_SEPARATOR)]
        selected = {"best": hits[:1], "worst": misses[-1:], "typical": [ordered[len(ordered) // 2]]}
        shown: set[int] = set()
        for kind, row in ((kind, row) for kind, rows_of_kind in selected.items() for row in rows_of_kind):
            if id(row) not in shown:
                shown.add(id(row))
                yield name, kind, row


def _file(folder: Path, row: Mapping[str, Any]) -> Path:
    crop = "".join(f"-{number}" for number in row["crop"] or ())
    return folder / "plots" / f"photograph-{row['sha256'][:16]}{crop}.jpg"
