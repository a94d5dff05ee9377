"""Runs side by side, on the photographs that all of them answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightmeter.bootstrap import bootstrap, paired_bootstrap
from lightmeter.errors import UsageError
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.evaluation.metrics.multilabel import MultilabelPredictions
from lightmeter.models.evaluation.metrics.scoring import answers_of
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training.loader import photograph_of
from lightmeter.models.training.runs import read_predictions

EFFORT = ("seconds", "energy_joules")
"""What training took; energy only where it could be measured."""

Rows = dict[tuple[str, ...], Mapping[str, Any]]


@dataclass(frozen=True)
class ScoredRun:
    """A run and its answers.

    Attributes:
        name: of the run.
        spec: of its model.
        predictions: rows of ``predictions.parquet``, of one split.
    """

    name: str
    spec: ModelSpec
    predictions: Sequence[Mapping[str, Any]]


def load_run_scores(folder: Path, spec: ModelSpec, split: str) -> ScoredRun:
    """Read a run's answers on one split.

    Raises:
        UsageError: if it has none.
    """
    rows = [row for row in read_predictions(folder) if row["split"] == split]
    if not rows:
        raise UsageError(
            f"The run {spec.name} has no answers on its {split} split; 'lightmeter models evaluate' makes them."
        )
    return ScoredRun(spec.name, spec, rows)


def compare(runs: Sequence[ScoredRun]) -> dict[str, Any]:
    """Return the figures of runs by target, and their differences from the first run's.

    Raises:
        UsageError: if the runs answered nothing in common.
    """
    names = [target.name for target in runs[0].spec.targets]
    common = [name for name in names if all(name in run.spec.classes for run in runs)]
    found = {name: _compare_target(runs, name) for name in common}
    if not any(found.values()):
        raise UsageError("These runs answered no photograph in common; compare runs of one data set.")
    return {name: value for name, value in found.items() if value}


def _compare_target(runs: Sequence[ScoredRun], name: str) -> dict[str, Any]:
    targets = [next(target for target in run.spec.targets if target.name == name) for run in runs]
    if len({target.classes for target in targets}) > 1:
        raise UsageError(f"These runs have different classes of '{name}'; compare runs of one data set.")
    answered: list[Rows] = [
        {photograph_of(row): row for row in run.predictions if row["target"] == name} for run in runs
    ]
    common = sorted(set.intersection(*(set(rows) for rows in answered)))
    if not common:
        return {}
    answers = [_answers(rows, common, target) for rows, target in zip(answered, targets, strict=True)]
    result: dict[str, Any] = {"photographs": len(common), "groups": int(answers[0].groups.max()) + 1, "runs": {}}
    for label, run, found in zip(_labels(runs), runs, answers, strict=True):
        result["runs"][label] = {
            **bootstrap(found),
            "difference": {} if run is runs[0] else paired_bootstrap(answers[0], found),
            **_effort(run, runs[0]),
        }
    return result


def _answers(rows: Rows, common: Sequence[tuple[str, ...]], target: Target) -> ClassPredictions | MultilabelPredictions:
    return answers_of([rows[photograph] for photograph in common], target)


def _labels(runs: Sequence[ScoredRun]) -> list[str]:
    """Return the runs' names, numbered where two have one name."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({number + 1})" for number, name in enumerate(names)]


def _effort(run: ScoredRun, reference: ScoredRun) -> dict[str, Any]:
    """Return what training took, and by how many percent that is more or less than the reference took."""
    found: dict[str, Any] = {}
    for key in EFFORT:
        ours, theirs = run.spec.training.get(key), reference.spec.training.get(key)
        found[key] = ours
        if run is not reference and ours and theirs:
            found[f"{key}_difference_percent"] = 100 * (ours / theirs - 1)
    return found
