"""Hyperparameter search over the settings of a recipe with Optuna; only the validation split is used."""

import json
import math
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pyarrow.compute as pc
import tomli_w
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, Trial, TrialState

from lightmeter.bootstrap import Estimate
from lightmeter.errors import Interrupted, LightmeterError, UsageError
from lightmeter.files import check_folder, write_atomic
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.metrics.base import metric_names
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.training.recipe import RECIPE_FILE, Recipe, parse_value, read_recipe
from lightmeter.models.training.reservation import reserve_run
from lightmeter.models.training.train import train
from lightmeter.plugins import unknown_name_message
from lightmeter.terminal import console

JOURNAL_FILE = "search.journal"
SEARCH_FILE = "search.json"
_LOG_SCALE_RATIO = 10  # between the ends of a range, from which it is searched on a logarithmic scale
_LOCK_TIMEOUT_S = 3  # for the lock of a search that was killed
_REASON = "reason"  # why a trial failed
_MINIMISED = {"mae_stops", "log_loss", "ece", "ece_uncalibrated"}


@dataclass(frozen=True)
class SearchRange:
    """A setting and the values to search.

    Attributes:
        key: Key as in ``--set``.
        choices: Values to choose from; empty for a range.
        low: Least value of a range; a whole number if both ends are.
        high: Greatest value of a range.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0

    @property
    def examples(self) -> tuple[object, ...]:
        """Values that must all be valid."""
        return self.choices or (self.low, self.high)

    def suggest(self, trial: Trial) -> object:
        """Return the value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        log = self.low > 0 and self.high / self.low >= _LOG_SCALE_RATIO
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.key, self.low, self.high, log=log)
        return trial.suggest_float(self.key, self.low, self.high, log=log)

    @classmethod
    def parse(cls, text: str) -> "SearchRange":
        """Parse a value of ``--search``: ``learning_rate=1e-4..1e-2`` or ``patches=4,8,16``.

        Raises:
            UsageError: The value is neither a range nor a list of several values.
        """
        key, equals, values = (part.strip() for part in text.partition("="))
        low, dots, high = values.partition("..")
        if equals and dots:
            ends = [_parse_number(end) for end in (low, high)]
            if None not in ends and ends[0] < ends[1]:
                return cls(key, low=ends[0], high=ends[1])
        elif equals:
            choices = _parse_choices(values)
            if len(choices) > 1:
                return cls(key, choices)
        raise UsageError(f"Invalid --search '{text}': use KEY=LOW..HIGH or KEY=A,B,C.")


@dataclass(frozen=True)
class Search:
    """A hyperparameter search.

    Attributes:
        recipe: Name or path of the recipe.
        settings: Fixed settings, ``KEY=VALUE`` each.
        ranges: Settings to search, ``KEY=LOW..HIGH`` or ``KEY=A,B,C`` each.
        metric: Validation metric to optimise; its mean over the targets is used.
        seed: Seed of the sampler and of training.
        device: torch device.
        engine: What computes the features of a probe.
    """

    recipe: str
    settings: Sequence[str]
    ranges: Sequence[str]
    metric: str
    seed: int
    device: str
    engine: EngineName = "torch"

    @property
    def minimised(self) -> bool:
        """Whether a lower value of the metric is better."""
        return self.metric in _MINIMISED

    def read_recipe(self, values: Mapping[str, object]) -> Recipe:
        """Return the recipe with the fixed settings and searched values, by key."""
        return read_recipe(self.recipe, [*self.settings, *(f"{key}={value}" for key, value in values.items())])


def search(task: Search, dataset: Dataset, folder: Path, trials: int) -> dict[str, Any]:
    """Run trials until there are ``trials`` in total, including those of an earlier, interrupted call.

    The journal of trials, ``search.json`` and the best recipe are written after each trial.

    Args:
        task: The search.
        dataset: Trials are trained on its training split and compared on its validation split.
        folder: Directory of the search; an existing search is resumed.
        trials: Total number of trials.

    Raises:
        UsageError: A range or the metric is invalid, or the folder holds another search.
    """
    ranges = [SearchRange.parse(text) for text in task.ranges]
    for searched in ranges:
        for value in searched.examples:
            task.read_recipe({searched.key: value})
    _check_metric(task.metric, dataset)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _only_search(folder):
        return _search(task, ranges, dataset, folder, trials)


def _search(task: Search, ranges: Sequence[SearchRange], dataset: Dataset, folder: Path, trials: int) -> dict[str, Any]:
    study = _open_study(task, dataset, folder)
    _enqueue_interrupted(study)
    dataset = _without_test(dataset)
    with console.get_console().progress("{task.fields[best]}") as progress:
        bar = progress.add_task("trials", total=trials, completed=len(_finished(study)), best="")
        while len(_finished(study)) < trials:
            study.sampler = optuna.samplers.TPESampler(seed=task.seed + len(study.trials))
            _run_trial(study, ranges, task, dataset, folder)
            best = _write_result(study, task, folder)["best"]
            progress.update(bar, completed=len(_finished(study)), best=f"best {best['value']:.4f}" if best else "")
    return _write_result(study, task, folder)


def _run_trial(
    study: optuna.Study, ranges: Sequence[SearchRange], task: Search, dataset: Dataset, folder: Path
) -> None:
    """Train one recipe and report its metric; a training error makes the trial fail."""
    trial = study.ask()
    values = {searched.key: searched.suggest(trial) for searched in ranges}
    temporary = folder / "trial"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with reserve_run(temporary / "run", None, "") as run:
            trained = train(
                task.read_recipe(values), dataset, run, device=task.device, engine=task.engine, seed=task.seed
            )
        estimates = {name: target[task.metric] for name, target in trained.metrics["validation"]["targets"].items()}
        value = _mean(estimates, task.metric)
    except Interrupted:
        raise
    except LightmeterError as error:
        trial.set_user_attr(_REASON, str(error))
        study.tell(trial, state=TrialState.FAIL)
        console.get_console().note(f"Trial {trial.number} failed: {error}")
    else:
        trial.set_user_attr("metrics", estimates)
        study.tell(trial, value)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _mean(estimates: Mapping[str, Estimate], metric: str) -> float:
    """Return the mean of a metric over the targets.

    Raises:
        LightmeterError: It is undefined for a target.
    """
    values = []
    for name, estimate in estimates.items():
        if estimate["value"] is None:
            raise LightmeterError(f"{metric} of '{name}' is undefined on validation.")
        values.append(estimate["value"])
    return statistics.fmean(values)


def _check_metric(metric: str, dataset: Dataset) -> None:
    """Check that all targets have a metric."""
    for target in dataset.spec.targets:
        names = metric_names(multilabel=target.multilabel, ordinal=target.ordinal)
        if metric not in names:
            raise UsageError(unknown_name_message(f"metric of '{target.name}'", metric, names))


@contextmanager
def _only_search(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder of a search."""
    check_folder(folder)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"Another process is searching in {folder}; choose another folder with --out.") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _open_study(task: Search, dataset: Dataset, folder: Path) -> optuna.Study:
    fingerprint = json.dumps(
        {**vars(task), "device": "", "data": dataset.spec.manifest_sha256}, sort_keys=True, default=list
    )
    journal = str(folder.resolve() / JOURNAL_FILE)  # a lock with a relative path is never released
    study = optuna.create_study(
        study_name="search",
        storage=JournalStorage(JournalFileBackend(journal, JournalFileSymlinkLock(journal, _LOCK_TIMEOUT_S))),
        direction="minimize" if task.minimised else "maximize",
        load_if_exists=True,
    )
    if study.user_attrs.get("fingerprint", fingerprint) != fingerprint:
        raise UsageError(f"{folder} holds another search; repeat its options, or choose another folder with --out.")
    study.set_user_attr("fingerprint", fingerprint)
    return study


def _enqueue_interrupted(study: optuna.Study) -> None:
    """Repeat first the trials that were running when the search was interrupted."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that succeeded or failed, without those that were interrupted."""
    return [trial for trial in study.trials if trial.state == TrialState.COMPLETE or _REASON in trial.user_attrs]


def _without_test(dataset: Dataset) -> Dataset:
    """Return the data set without its test split."""
    return replace(dataset, manifest=dataset.manifest.filter(pc.not_equal(dataset.manifest.column("split"), "test")))


def _write_result(study: optuna.Study, task: Search, folder: Path) -> dict[str, Any]:
    """Write the trials and the best recipe; return the former."""
    trials = [
        {"number": trial.number, "settings": trial.params, "value": trial.value, **trial.user_attrs}
        for trial in _finished(study)
    ]
    succeeded = [trial for trial in trials if trial["value"] is not None]
    sign = 1 if task.minimised else -1
    best = min(succeeded, key=lambda trial: sign * trial["value"], default=None)
    result: dict[str, Any] = {
        "metric": task.metric,
        "split": "validation",
        "best": best,
        "trials": trials,
        "recipe": None,
    }
    if best:
        write_atomic(folder / RECIPE_FILE, _recipe_toml(task, best))
        result["recipe"] = folder / RECIPE_FILE
    document = {**result, "recipe": RECIPE_FILE if best else None}
    write_atomic(folder / SEARCH_FILE, json.dumps(document, indent=2, allow_nan=False) + "\n")
    return result


def _recipe_toml(task: Search, best: Mapping[str, Any]) -> str:
    settings = [*task.settings, *(f"{key}={value}" for key, value in best["settings"].items())]
    comment = (
        f"# {task.recipe} with {', '.join(settings)}; selected by {task.metric} {best['value']:.4f} on validation.\n"
    )
    return comment + tomli_w.dumps(task.read_recipe(best["settings"]).model_dump(mode="json"))


def _parse_choices(text: str) -> tuple[str, ...]:
    """Return the values of a list; commas within brackets and quotes do not separate values."""
    values = parse_value(f"[{text}]")
    if isinstance(values, str):  # not TOML
        return tuple(part.strip() for part in text.split(","))
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def _parse_number(text: str) -> Any:
    value = parse_value(text)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None
