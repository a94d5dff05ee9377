"""Run folders: written whole or not at all."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from safetensors.torch import save as save_tensors
from torch import nn

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, write_atomic
from lightmeter.models.evaluation.predictions import PREDICTIONS_SCHEMA
from lightmeter.models.runtime.memory import keep_freed_memory
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import NAME, SPEC_FILE, WEIGHTS_FILE, BrokenModel, ModelSpec, read_spec
from lightmeter.project import find_optional_project, find_project

PREDICTIONS_FILE = "predictions.parquet"
METRICS_FILE = "metrics.json"


def destination(out: Path | None, name: str | None, stem: str) -> Path:
    """Return the folder that a new run gets.

    Args:
        out: the folder that the person named, if any.
        name: the run's name, if the person gave one.
        stem: otherwise it is called so, with the next free number.

    Raises:
        UsageError: if there is something already, or the name cannot be a model's name.
    """
    parent = out.parent if out else find_project().runs
    chosen = name or (out.name if out else _next(parent, stem))
    folder = out or parent / chosen
    if not NAME.fullmatch(chosen):
        raise UsageError(
            f"'{chosen}' cannot be a run's name; use up to 100 letters, digits, '.', '_' and '-' (--name)."
        )
    if folder.exists():
        raise UsageError(f"{folder} is there already; choose another name (--name) or folder (--out).")
    return folder


@contextmanager
def new_run(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` if the block succeeds, and goes if it fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".tmp-{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_model(folder: Path, spec: ModelSpec, network: nn.Module) -> ModelSpec:
    """Write weights and spec, and return the spec with the weights' hash in it; the spec comes last."""
    content = save_tensors({name: value.contiguous().cpu() for name, value in network.state_dict().items()})
    write_atomic(folder / WEIGHTS_FILE, content)
    whole = replace(spec, weights_sha256=hashlib.sha256(content).hexdigest())
    write_atomic(folder / SPEC_FILE, tomli_w.dumps(whole.as_dict()))
    return whole


def write_predictions(folder: Path, predictions: Sequence[Mapping[str, Any]]) -> None:
    """Write ``predictions.parquet``; the same predictions give the same bytes."""
    with atomic_path(folder / PREDICTIONS_FILE) as temporary:
        table = pa.Table.from_pylist(list(predictions), schema=PREDICTIONS_SCHEMA)
        pq.write_table(table, temporary, compression="zstd", store_schema=False)


def read_predictions(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of ``predictions.parquet``.

    Raises:
        UsageError: if it cannot be read.
    """
    try:
        rows: list[dict[str, Any]] = pq.read_table(folder / PREDICTIONS_FILE).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{folder / PREDICTIONS_FILE} cannot be read ({error}).") from error
    return rows


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write ``metrics.json``."""
    write_atomic(folder / METRICS_FILE, json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return what ``metrics.json`` holds.

    Raises:
        UsageError: if it cannot be read.
    """
    try:
        metrics: dict[str, Any] = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / METRICS_FILE} cannot be read ({error}).") from error
    return metrics


def open_run(run: Path, device: str = "cpu") -> Predictor:
    """Load a run's predictor for a command; a bare name is looked for among the project's runs.

    Raises:
        UsageError: if the folder is no run or is damaged.
    """
    keep_freed_memory()
    try:
        return Predictor.load(find_run(run), device)
    except BrokenModel as error:
        raise UsageError(str(error)) from error


def spec_of(run: Path) -> ModelSpec:
    """Return what a run's ``model.toml`` says, without its weights.

    Raises:
        UsageError: if the folder is no run or is damaged.
    """
    try:
        return read_spec(find_run(run))
    except BrokenModel as error:
        raise UsageError(str(error)) from error


def find_run(run: Path) -> Path:
    """Return the folder of a run that is given as a path or by its name in the project.

    A folder in the working directory that only happens to be called like a run does not hide it.
    """
    if not (run / SPEC_FILE).exists() and len(run.parts) == 1:
        here = find_optional_project()
        if here and (here.runs / run).is_dir():
            return here.runs / run
    return run


def _next(parent: Path, stem: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"
