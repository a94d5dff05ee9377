"""Search over a few settings of a recipe with Optuna; only the validation split is ever looked at."""

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pyarrow.compute as pc
import tomli_w
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from lightmeter import console
from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import write_atomic
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.training.recipe import Recipe, read_recipe
from lightmeter.models.training.search.search_space import SearchRange, parse_search_range
from lightmeter.models.training.train import train

JOURNAL = "search.journal"
RECIPE = "recipe.toml"
SEARCH = "search.json"
_PATIENCE_S = 3  # with the lock that a search leaves behind when it is killed
_REASON = "reason"  # why a trial failed
_LESS_IS_BETTER = {"mae_stops", "ece", "ece_uncalibrated"}


@dataclass(frozen=True)
class Search:
    """What is searched for.

    Attributes:
        recipe: name or path of the recipe.
        settings: that are fixed, ``key=value`` each.
        vary: settings that are tried, ``key=low..high`` or ``key=a,b,c`` each.
        by: the figure that is compared, its mean over the targets.
        seed: of training and of what is tried.
        device: as torch names it.
    """

    recipe: str
    settings: Sequence[str]
    vary: Sequence[str]
    by: str
    seed: int
    device: str


def search(task: Search, dataset: Dataset, folder: Path, trials: int) -> dict[str, Any]:
    """Try settings until so many were tried, those of an earlier call with the same folder included.

    Writes the journal of trials, ``search.json`` and the best recipe into the folder after each trial.

    Args:
        task: what is searched for.
        dataset: on whose training split each trial is trained, and by whose validation split it is judged.
        folder: of the search; it goes on where there is one already.
        trials: how many there shall be in all.

    Raises:
        UsageError: if a range is wrong, or the folder holds another search.
        LightmeterError: if no trial succeeded.
    """
    varied = parse_search_range(task.vary)
    for one in varied:
        for value in one.examples:
            read_recipe(task.recipe, [*task.settings, f"{one.key}={value}"])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = _study(task, dataset, folder)
    unseen = _without_test(dataset)
    _take_up(study)
    with console.get_console().progress("{task.fields[best]}") as progress:
        bar = progress.add_task("trials", total=trials, completed=len(_tried(study)), best="")
        while len(_tried(study)) < trials:
            number = len(study.trials)
            study.sampler = optuna.samplers.TPESampler(seed=task.seed + number)
            _try(study, varied, task, unseen, folder)
            best = _write(study, task, folder)["best"]
            progress.update(bar, completed=len(_tried(study)), best=f"best {best['value']:.4f}" if best else "")
    return _write(study, task, folder)


def _try(study: optuna.Study, varied: Sequence[SearchRange], task: Search, dataset: Dataset, folder: Path) -> None:
    """Train one recipe and tell the study how it did; what cannot be trained counts as failed."""
    trial = study.ask()
    values = {one.key: one.suggest(trial) for one in varied}
    temporary = folder / "trial"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        recipe = read_recipe(task.recipe, [*task.settings, *(f"{key}={value}" for key, value in values.items())])
        run = train(recipe, dataset, temporary / "run", device=task.device, seed=task.seed)
        targets = run.metrics["validation"]["targets"]
        trial.set_user_attr("figures", {name: target[task.by] for name, target in targets.items()})
        study.tell(trial, statistics.fmean(target[task.by]["value"] for target in targets.values()))
    except KeyError as error:
        raise UsageError(f"There is no figure {error} of every target; compare by macro_f1, for example.") from error
    except LightmeterError as error:
        trial.set_user_attr(_REASON, str(error))
        study.tell(trial, state=TrialState.FAIL)
        console.get_console().note(f"trial {trial.number}: {error}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _study(task: Search, dataset: Dataset, folder: Path) -> optuna.Study:
    told = {**vars(task), "device": "", "data": dataset.spec.manifest_sha256}
    fingerprint = json.dumps(told, sort_keys=True, default=list)
    journal = str(folder.resolve() / JOURNAL)  # a lock that is a link to a relative path is never given up
    study = optuna.create_study(
        study_name="search",
        storage=JournalStorage(JournalFileBackend(journal, JournalFileSymlinkLock(journal, _PATIENCE_S))),
        direction="minimize" if task.by in _LESS_IS_BETTER else "maximize",
        load_if_exists=True,
    )
    if study.user_attrs.get("fingerprint", fingerprint) != fingerprint:
        raise UsageError(f"{folder} holds another search; ask for the same, or choose another folder with --out.")
    study.set_user_attr("fingerprint", fingerprint)
    return study


def _take_up(study: optuna.Study) -> None:
    """Try again first what was under way when the search was interrupted."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def _tried(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that came to an end, well or not; those that were interrupted are not among them."""
    return [one for one in study.trials if one.state == TrialState.COMPLETE or _REASON in one.user_attrs]


def _without_test(dataset: Dataset) -> Dataset:
    """Return a data set whose test photographs are not there at all."""
    return replace(dataset, manifest=dataset.manifest.filter(pc.not_equal(dataset.manifest.column("split"), "test")))


def _write(study: optuna.Study, task: Search, folder: Path) -> dict[str, Any]:
    """Write what was tried, and the best recipe; return the former."""
    tried = [
        {"number": one.number, "settings": one.params, "value": one.value, **one.user_attrs} for one in _tried(study)
    ]
    succeeded = [one for one in tried if one["value"] is not None]
    sign = 1 if task.by in _LESS_IS_BETTER else -1
    best = min(succeeded, key=lambda one: sign * one["value"], default=None)
    found: dict[str, Any] = {"by": task.by, "split": "validation", "best": best, "trials": tried, "recipe": None}
    if best:
        changed = [*task.settings, *(f"{key}={value}" for key, value in best["settings"].items())]
        recipe = read_recipe(task.recipe, changed)
        write_atomic(folder / RECIPE, _toml(recipe, changed, best["value"], task))
        found["recipe"] = folder / RECIPE
    write_atomic(folder / SEARCH, json.dumps({**found, "recipe": RECIPE if best else None}, indent=2) + "\n")
    return found


def _toml(recipe: Recipe, changed: Sequence[str], value: float, task: Search) -> str:
    values: Mapping[str, Any] = {**recipe.model_dump(mode="json", exclude={"name"})}
    said = f"# {task.recipe} with {', '.join(changed)}: {task.by} {value:.4f} on validation, which chose it.\n"
    return said + tomli_w.dumps(values)
