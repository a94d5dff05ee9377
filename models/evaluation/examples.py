"""Photographs at the start of a report: for each class the surest hit, the surest miss and a typical one."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlencode

from lightmeter.errors import LightmeterError
from lightmeter.files import write_atomic
from lightmeter.images.reader import display_image
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.style import BROWSER_PORT

_SIDE = 240  # pixels
_MAX_CLASSES = 8
_KINDS = ("surest hit", "surest miss", "typical")


class Example(NamedTuple):
    """A photograph of a report.

    Attributes:
        name: Its true class.
        kind: Why it is shown.
        file: File name.
        predicted: Predicted class.
        confidence: Probability of the predicted class.
        wrong: Whether the prediction is wrong.
        url: The picture as a data URL.
    """

    name: str
    kind: str
    file: str
    predicted: str
    confidence: float
    wrong: bool
    url: str


def write_examples(folder: Path, target: str, rows: Sequence[Mapping[str, Any]], dataset: Dataset) -> None:
    """Write the pictures of a target's examples into ``plots/``; photographs that cannot be read are left out.

    Args:
        folder: Run folder.
        target: Name of the target.
        rows: Rows of ``predictions.parquet`` of one split.
        dataset: Data set with the photographs.
    """
    for _, _, row in _select(rows, target):
        content = io.BytesIO()
        try:
            display_image(dataset.read(row["sha256"]), _SIDE).convert("RGB").save(content, "JPEG", quality=82)
        except (OSError, ValueError, LightmeterError):
            continue
        write_atomic(_file(folder, row), content.getvalue())


def read_examples(
    folder: Path, target: str, rows: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> list[Example]:
    """Return the examples of a target whose pictures were written, in the order of its classes."""
    examples = []
    for name, kind, row in _select(rows, target):
        file = _file(folder, row)
        if file.is_file():
            url = f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode()}"
            wrong = row["predicted"] != row["truth"]
            shown = PurePosixPath(row["path"]).name
            examples.append(Example(name, kind, shown, row["predicted"], max(row["probabilities"]), wrong, url))
    return sorted(examples, key=lambda example: classes.index(example.name))


def photographs_url(run: str, target: str, split: str, truth: str, predicted: str) -> str:
    """Return the address at which ``lightmeter browse`` shows the photographs of a cell of a confusion matrix."""
    cell = {"target": target, "predictions": run, "split": split, "truth": truth, "predicted": predicted}
    return f"http://127.0.0.1:{BROWSER_PORT}/?{urlencode(cell)}"


def _select(rows: Sequence[Mapping[str, Any]], target: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield class, kind and row of each example; none for targets with many classes or several per photograph."""
    of_target = [row for row in rows if row["target"] == target and row.get("crop") is None]
    classes = sorted({row["truth"] for row in of_target})
    if len(classes) > _MAX_CLASSES:
        return
    for name in classes:
        ordered = sorted((row for row in of_target if row["truth"] == name), key=lambda row: -max(row["probabilities"]))
        hits = [row for row in ordered if row["predicted"] == name]
        misses = [row for row in ordered if row["predicted"] != name]
        selected = (*hits[:1], *misses[:1], ordered[len(ordered) // 2])
        kinds = [kind for kind, candidates in zip(_KINDS, (hits, misses, ordered), strict=True) if candidates]
        for kind, row in {row["sha256"]: (kind, row) for kind, row in zip(kinds, selected, strict=True)}.values():
            yield name, kind, row


def _file(folder: Path, row: Mapping[str, Any]) -> Path:
    return folder / "plots" / f"photograph-{row['sha256'][:16]}.jpg"
