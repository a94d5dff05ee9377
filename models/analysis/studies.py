"""Studies of a trained model: explanations, attacks, controlled series, photographs that are alike."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import write_atomic
from lightmeter.labels.datasets.dataset import Dataset, Split, label_column
from lightmeter.models.analysis import explain as probing
from lightmeter.models.evaluation.plots import attack_plot, explanation_plot
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput
from lightmeter.models.training.loader import each_photograph


def read(predictor: Predictor, file: Path) -> ModelInput:
    """Read one file.

    Raises:
        UsageError: if it is not there.
        LightmeterError: if it is no usable photograph.
    """
    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    try:
        return predictor.preprocess(file.read_bytes())
    except InvalidPhoto as error:
        raise LightmeterError(f"{file}: {error.reason}") from error


def explain_files(
    predictor: Predictor, files: Sequence[Path], target: str | None, kind: str, out: Path
) -> list[dict[str, Any]]:
    """Explain the answers about files by maps of a kind, and write one PNG for each into a folder."""
    chosen = probing.target_of(predictor, target)
    told = []
    for file in files:
        photograph = read(predictor, file)
        found = probing.explain(predictor, photograph, chosen.name, kind)
        picture = out / f"{file.stem}-{chosen.name}-{kind}.png"
        write_atomic(picture, explanation_plot(photograph, found, f"{file.name}: {chosen.name} {found.label}, {kind}"))
        told.append(
            {
                "file": str(file),
                "target": chosen.name,
                "class": found.label,
                "map": kind,
                "patches": found.shares.tolist(),
                "picture": str(picture),
            }
        )
    return told


def attack_split(
    predictor: Predictor, dataset: Dataset, split: Split, target: str | None, levels: Sequence[float], limit: int
) -> dict[str, Any]:
    """Attack a model on photographs of a split, and return its accuracy by strength of each attack."""
    chosen = probing.target_of(predictor, target)
    if chosen.multiple:
        raise UsageError(f"'{chosen.name}' has several classes a photograph; attacks are for targets with one.")
    place = {name: index for index, name in enumerate(chosen.classes)}
    rows = [row for row in dataset.rows(split) if row[label_column(chosen.name)] is not None][:limit]
    right: dict[probing.Attack, list[list[bool]]] = {"fgsm": [], "pgd": []}
    truths = iter([place[row[label_column(chosen.name)]] for row in rows])
    for _, photograph in each_photograph(dataset, rows, predictor.preprocess, "attacking"):
        truth = next(truths)
        if isinstance(photograph, InvalidPhoto):
            continue
        for attack, answers in right.items():
            found = probing.attacked(predictor, photograph, chosen.name, truth, levels, attack)
            answers.append([answer == truth for answer in found])
    if not right["fgsm"]:
        raise UsageError(f"The {split} split of {dataset.spec.name} has no readable photograph of '{chosen.name}'.")
    return {
        "target": chosen.name,
        "split": split,
        "photographs": len(right["fgsm"]),
        "levels": list(levels),
        **{attack: np.mean(answers, axis=0).tolist() for attack, answers in right.items()},
    }


def write_attack(folder: Path, found: dict[str, Any]) -> Path:
    """Write the accuracy curve of an attack into a run's plots."""
    picture = folder / "plots" / f"attack-{found['target']}.png"
    write_atomic(picture, attack_plot(found))
    return picture


def similar(predictor: Predictor, file: Path, dataset: Dataset, count: int) -> list[dict[str, Any]]:
    """Return the photographs of a data set that the model sees most alike a file, nearest first."""
    wanted = probing.embedding(predictor, read(predictor, file))

    found: list[dict[str, Any]] = []
    for row, photograph in each_photograph(dataset, dataset.rows(), predictor.preprocess, "comparing"):
        if not isinstance(photograph, InvalidPhoto):
            likeness = float(probing.embedding(predictor, photograph) @ wanted)
            path = str(dataset.store / row["path"])
            found.append({"file": path, "sha256": row["sha256"], "split": row["split"], "likeness": likeness})
    return sorted(found, key=lambda one: -one["likeness"])[:count]
