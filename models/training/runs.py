"""Run folders: written completely or not at all."""

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
from lightmeter.labels.datasets.dataset import Dataset, open_dataset
from lightmeter.models.evaluation.predictions import PREDICTIONS_SCHEMA
from lightmeter.models.runtime.memory import keep_freed_memory
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import NAME, SPEC_FILE, WEIGHTS_FILE, BrokenModel, ModelSpec, read_spec
from lightmeter.project import find_optional_project, find_project

PREDICTIONS_FILE = "predictions.parquet"
METRICS_FILE = "metrics.json"


def new_run_folder(out: Path | None, name: str | None, default: str) -> Path:
    """Return the folder of a new run.

    Args:
        out: Folder given by the user, if any.
        name: Name of the run given by the user, if any.
        default: Default name, to which the next free number is appended.

    Raises:
        UsageError: The folder exists, or the name is invalid.
    """
    parent = out.parent if out else find_project().runs
    name = name or (out.name if out else _numbered(parent, default))
    folder = out or parent / name
    if not NAME.fullmatch(name):
        raise UsageError(f"Invalid run name '{name}': use up to 100 letters, digits, '.', '_' and '-' (--name).")
    if folder.exists():
        raise UsageError(f"{folder} already exists; choose another name (--name) or folder (--out).")
    return folder


@contextmanager
def new_run(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` if the block succeeds and is deleted if it fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".tmp-{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_model(folder: Path, spec: ModelSpec, network: nn.Module) -> ModelSpec:
    """Write weights and specification; return the specification with the SHA-256 of the weights."""
    content = save_tensors({name: value.contiguous().cpu() for name, value in network.state_dict().items()})
    write_atomic(folder / WEIGHTS_FILE, content)
    spec = replace(spec, weights_sha256=hashlib.sha256(content).hexdigest())
    write_atomic(folder / SPEC_FILE, tomli_w.dumps(spec.as_dict()))
    return spec


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
    write_atomic(folder / METRICS_FILE, json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the content of ``metrics.json``.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        metrics: dict[str, Any] = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read {folder / METRICS_FILE} ({error}).") from error
    return metrics


def open_run(run: Path, device: str = "cpu") -> Predictor:
    """Load the predictor of a run, given by its folder or its name in the project.

    Raises:
        UsageError: The folder is not a run folder or is damaged.
    """
    keep_freed_memory()
    try:
        return Predictor.load(find_run(run), device)
    except BrokenModel as error:
        raise UsageError(str(error)) from error


def training_dataset(predictor: Predictor, dataset: Dataset | str | Path | None) -> Dataset:
    """Return a data set, opened if necessary; by default that of the project with the name of the training data set."""
    if isinstance(dataset, Dataset):
        return dataset
    return open_dataset(Path(dataset or str(predictor.spec.data.get("name", ""))))


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
    """Return the folder of a run, given by its path or its name in the project.

    A folder of the same name in the working directory does not hide a run of the project.
    """
    if not (run / SPEC_FILE).exists() and len(run.parts) == 1:
        project = find_optional_project()
        if project and (project.runs / run).is_dir():
            return project.runs / run
    return run


def _numbered(parent: Path, name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return f"{name}-{number}"
