"""Run folders: reserved before the work begins, and written completely or not at all."""

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from filelock import FileLock, Timeout
from safetensors.torch import save as save_tensors
from torch import nn

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import atomic_path, check_folder, check_own_files, write_atomic
from lightmeter.images.memory import keep_freed_memory
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.union import DatasetReference, open_datasets
from lightmeter.models.evaluation.predictions import PREDICTIONS_SCHEMA
from lightmeter.models.runtime.engines import EngineError, EngineName
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import NAME, SPEC_FILE, WEIGHTS_FILE, BrokenModel, ModelSpec, read_spec
from lightmeter.models.training.network.checkpoint import CHECKPOINT_FILE, plain_tensors
from lightmeter.models.training.recipe import RECIPE_FILE, Recipe, read_recipe
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_optional_project, find_project
from lightmeter.terminal import completion
from lightmeter.text.documents import read_json

PREDICTIONS_FILE = "predictions.parquet"
METRICS_FILE = "metrics.json"
DEFAULT_RUN = "default"
"""Name of the model that ships with Lightmeter."""
PARTIAL = ".partial"
"""Suffix of the folders of unfinished runs."""

_PROCESS_ID, _FINISHED = "pid", "run"


@dataclass(frozen=True)
class ReservedRun:
    """A run that this process alone may write.

    Attributes:
        name: Name of the run and of the served model.
        folder: Run folder; it exists once the run is complete.
        partial: Folder of the unfinished run beside it, with its checkpoint.
        resume: Whether training resumes from that checkpoint.
    """

    name: str
    folder: Path
    partial: Path
    resume: bool = False


@contextmanager
def reserve_run(
    out: Path | None, name: str | None, default: str, *, resume: bool = False, restart: bool = False
) -> Iterator[ReservedRun]:
    """Reserve the name and the folder of a run while the block runs.

    The folder of the unfinished run is created and locked, so nothing that prevents writing is found only at the end,
    and no other process can use the same name. It is deleted at the end unless it holds a checkpoint.

    Args:
        out: Run folder given by the user, if any.
        name: Name of the run given by the user, if any.
        default: Default name, to which the next free number is appended.
        resume: Resume from the checkpoint of an interrupted training, if there is one.
        restart: Delete the checkpoint of an interrupted training.

    Raises:
        UsageError: The name is invalid or in use, the folder exists or cannot be written, or an interrupted training
            has left a checkpoint and neither ``resume`` nor ``restart`` is given.
    """
    if resume and restart:
        raise UsageError("Give either --resume or --restart.")
    parent = out.parent if out else find_project().runs
    given = name or (out.name if out else "")
    base = given or re.sub(r"[^A-Za-z0-9._-]+", "-", default)
    if not NAME.fullmatch(base) or base.endswith(PARTIAL):
        raise UsageError(f"Invalid run name '{base}': use up to 100 letters, digits, '.', '_' and '-' (--name).")
    if base == DEFAULT_RUN:
        raise UsageError(f"'{base}' is the model that ships with Lightmeter; choose another name (--name).")
    candidates = [out or parent / given] if given else _numbered(parent, base, interrupted_first=resume or restart)
    with _locked(parent, candidates, wanted=bool(given)) as folder:
        run = ReservedRun(given or folder.name, folder, folder.with_name(folder.name + PARTIAL), resume)
        with _unfinished(run, restart=restart):
            yield run


@contextmanager
def complete_run(run: ReservedRun) -> Iterator[Path]:
    """Yield a temporary folder that becomes the run folder if the block succeeds and is deleted if it fails."""
    temporary = run.partial / _FINISHED
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    try:
        temporary.rename(run.folder)
    except OSError as error:
        raise LightmeterError(
            f"Cannot create {run.folder} ({error.strerror}); the finished run is in {temporary}: move it by hand."
        ) from error


def write_model(folder: Path, spec: ModelSpec, network: nn.Module) -> ModelSpec:
    """Write weights and specification; return the specification with the SHA-256 of the weights."""
    content = save_tensors(plain_tensors(network.state_dict()))
    write_atomic(folder / WEIGHTS_FILE, content)
    spec = replace(spec, weights_sha256=hashlib.sha256(content).hexdigest())
    write_atomic(folder / SPEC_FILE, tomli_w.dumps(spec.as_dict()))
    return spec


def write_run_recipe(folder: Path, recipe: Recipe, seed: int, datasets: Sequence[str]) -> None:
    """Write ``recipe.toml``: the recipe with every setting of this run, from which it can be repeated.

    Args:
        folder: Run folder.
        recipe: The recipe.
        seed: Random seed.
        datasets: Names of the training data sets.
    """
    data = " ".join(f"--data {shlex.quote(name)}" for name in datasets)
    command = f"lightmeter models train {RECIPE_FILE} {data} --seed {seed}"
    settings = tomli_w.dumps(recipe.model_dump(mode="json"))
    write_atomic(folder / RECIPE_FILE, f"# Every setting of this run; repeat it with: {command}\n{settings}")


def read_run_recipe(folder: Path) -> Recipe:
    """Return the recipe of a run, as it was trained.

    Raises:
        UsageError: The file cannot be read.
    """
    return read_recipe(str(folder / RECIPE_FILE))


def write_predictions(folder: Path, predictions: Sequence[Mapping[str, Any]]) -> None:
    """Write ``predictions.parquet``; the same predictions give the same bytes."""
    with atomic_path(folder / PREDICTIONS_FILE) as temporary:
        table = pa.Table.from_pylist(list(predictions), schema=PREDICTIONS_SCHEMA)
        pq.write_table(table, temporary, compression="zstd", store_schema=False)


def read_predictions(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of ``predictions.parquet``.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        rows: list[dict[str, Any]] = pq.read_table(folder / PREDICTIONS_FILE).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"Cannot read {folder / PREDICTIONS_FILE} ({error}).") from error
    return rows


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write ``metrics.json``."""
    write_atomic(folder / METRICS_FILE, json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the content of ``metrics.json``.

    Raises:
        UsageError: The file cannot be read.
    """
    metrics: dict[str, Any] = read_json(folder / METRICS_FILE)
    return metrics


def open_run(run: Path, device: str = "cpu", engine: EngineName = "torch", output: OutputName = "logits") -> Predictor:
    """Load the predictor of a run, given by its folder or its name in the project.

    Args:
        run: Run folder or name.
        device: torch device.
        engine: What runs the network.
        output: What will be computed, so that an engine that cannot run the network is refused at once.

    Raises:
        UsageError: The folder is not a run folder or is damaged, or the engine cannot be used.
    """
    keep_freed_memory()
    try:
        predictor = Predictor.load(find_run(run), device, engine)
        predictor.prepare(output)
    except (BrokenModel, EngineError) as error:
        raise UsageError(str(error)) from error
    return predictor


def training_dataset(predictor: Predictor, datasets: DatasetReference | Sequence[DatasetReference] | None) -> Dataset:
    """Return a data set or the union of several (default: those of the project with the names of the training data)."""
    return open_datasets(datasets or list(predictor.spec.datasets))


def spec_of(run: Path) -> ModelSpec:
    """Return the specification of a run without loading its weights.

    Raises:
        UsageError: The folder is not a run folder or is damaged.
    """
    try:
        return read_spec(find_run(run))
    except BrokenModel as error:
        raise UsageError(str(error)) from error


def find_run(run: Path) -> Path:
    """Return the folder of a run, given by its path or its name in the project, or that of the shipped model.

    A folder of the same name in the working directory does not hide a run of the project.

    Raises:
        UsageError: The project has no run of that name; the message suggests the nearest. Or the folder holds links,
            through which files elsewhere would be read or replaced.
    """
    folder = _run_folder(run)
    check_own_files(folder)
    return folder


def _run_folder(run: Path) -> Path:
    if not (run / SPEC_FILE).exists() and len(run.parts) == 1:
        project = find_optional_project()
        if project and (project.runs / run).is_dir():
            return project.runs / run
        if run.name == DEFAULT_RUN:
            from lightmeter.models.training.shipped import shipped_run

            return shipped_run()
        if project and not run.exists():
            raise UsageError(unknown_name_message("run", run.name, completion.runs("")))
    return run


def _numbered(parent: Path, base: str, *, interrupted_first: bool) -> Iterator[Path]:
    """Yield the folders of numbered runs, first those of interrupted trainings if they are to be resumed."""
    if interrupted_first:
        interrupted = [file.parent.with_suffix("") for file in parent.glob(f"{base}-*{PARTIAL}/{CHECKPOINT_FILE}")]
        yield from sorted(folder for folder in interrupted if re.fullmatch(r"-\d+", folder.name[len(base) :]))
    yield from (parent / f"{base}-{number}" for number in count(1))


@contextmanager
def _locked(parent: Path, folders: Iterable[Path], *, wanted: bool) -> Iterator[Path]:
    """Lock and yield the first of some run folders that neither exists nor is in use by another process.

    Args:
        parent: Their parent folder; created if necessary.
        folders: Candidates.
        wanted: Whether the user asked for the only candidate, so that another one is no substitute.
    """
    check_folder(parent)  # before the lock, which takes some folders without write permission for busy ones
    folder, lock = _lock_first(folders, wanted=wanted)
    try:
        yield folder
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def lock_file(folder: Path) -> Path:
    """Return the file that is locked while a run is trained."""
    return folder.with_name(f".{folder.name}.lock")


def _lock_first(folders: Iterable[Path], *, wanted: bool) -> tuple[Path, FileLock]:
    for folder in folders:
        lock = FileLock(lock_file(folder), timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            if wanted:
                raise UsageError(
                    f"The run {folder} is being trained{_owner(folder)}; choose another --name."
                ) from error
            continue
        if not folder.exists():
            return folder, lock
        _remove_unneeded(folder)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        if wanted:
            raise UsageError(f"{folder} already exists; choose another name (--name) or folder (--out).")
    raise AssertionError("the numbered folders are endless")


def _owner(folder: Path) -> str:
    with suppress(OSError):
        return f" by process {(folder.with_name(folder.name + PARTIAL) / _PROCESS_ID).read_text()}"
    return ""


@contextmanager
def _unfinished(run: ReservedRun, *, restart: bool) -> Iterator[None]:
    """Keep the folder of the unfinished run while the block runs, and afterwards if work would be lost without it."""
    checkpoint, finished = run.partial / CHECKPOINT_FILE, run.partial / _FINISHED / SPEC_FILE
    if restart:
        shutil.rmtree(run.partial, ignore_errors=True)
    elif not run.resume and (checkpoint.exists() or finished.exists()):
        raise UsageError(
            f"The training of {run.folder} was interrupted; continue it with --resume, or delete its checkpoint and "
            "start again with --restart."
        )
    try:
        run.partial.mkdir(exist_ok=True)
        (run.partial / _PROCESS_ID).write_text(str(os.getpid()))
    except OSError as error:
        raise UsageError(f"Cannot write to {run.partial} ({error.strerror}); choose another folder (--out).") from error
    try:
        yield
    finally:
        _remove_unneeded(run.folder)


def _remove_unneeded(run: Path) -> None:
    """Remove the folder of an unfinished run unless work would be lost: a checkpoint, or a run that was not moved."""
    partial = run.with_name(run.name + PARTIAL)
    needed = not run.exists() and (partial / CHECKPOINT_FILE).exists()
    if not needed and not (partial / _FINISHED / SPEC_FILE).exists():
        shutil.rmtree(partial, ignore_errors=True)
