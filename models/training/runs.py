"""Files of a run folder: model, recipe, predictions and metrics."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from safetensors.torch import save as save_tensors
from torch import nn

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, check_own_files, write_atomic
from lightmeter.images.memory import keep_freed_memory
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.union import DatasetReference, open_datasets
from lightmeter.models.evaluation.predictions import PREDICTIONS_SCHEMA
from lightmeter.models.runtime.engines import EngineError, EngineName
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import SPEC_FILE, WEIGHTS_FILE, BrokenModel, ModelSpec, read_spec
from lightmeter.models.training.network.checkpoint import plain_tensors
from lightmeter.models.training.recipe import RECIPE_FILE, Recipe, read_recipe
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_optional_project
from lightmeter.terminal import completion
from lightmeter.text.documents import read_json

PREDICTIONS_FILE = "predictions.parquet"
METRICS_FILE = "metrics.json"
DEFAULT_RUN = "default"
"""Name of the model that ships with Lightmeter."""


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
