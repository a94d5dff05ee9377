"""List and remove the data sets of a project."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, select

from lightmeter.errors import LightmeterError
from lightmeter.files import temporary_folder
from lightmeter.harvest.catalogue.database.session import write
from lightmeter.harvest.catalogue.models import DatasetRecord
from lightmeter.labels.datasets.spec import SPEC_FILE, DatasetSpec, read_spec
from lightmeter.project import Project
from lightmeter.text.documents import InvalidDocument, read_toml

MODEL_FILE = "model.toml"
"""File of a run that names its data set; models are another layer, which cannot be asked."""


@dataclass(frozen=True)
class DatasetEntry:
    """A data set of a project.

    Attributes:
        name: Name, with folds as ``NAME/fold-1``.
        folder: Folder.
        created_at: When its files were written.
        spec: Content of ``dataset.toml``; None if that cannot be read.
        problem: Why it cannot be read.
        used_by: Runs that were trained on it, and data sets that extend it.
    """

    name: str
    folder: Path
    created_at: datetime
    spec: DatasetSpec | None
    problem: str | None
    used_by: tuple[str, ...]


def list_datasets(project: Project) -> list[DatasetEntry]:
    """Return the data sets of a project by name; one that cannot be read does not hide the others."""
    files = [file for pattern in ("*", "*/*") for file in project.datasets.glob(f"{pattern}/{SPEC_FILE}")]
    specs: dict[Path, DatasetSpec | None] = {}
    problems: dict[Path, str] = {}
    for file in sorted(files):
        try:
            specs[file] = read_spec(file)
        except LightmeterError as error:
            specs[file], problems[file] = None, str(error)
    runs = list(_training_data(project))
    entries = []
    for file, spec in specs.items():
        users = [f"the run {run}" for run, sha256 in runs if spec and sha256 == spec.manifest_sha256]
        users += [
            f"the data set {other.name}"
            for other in specs.values()
            if spec and other and other.split.get("extends", {}).get("manifest_sha256") == spec.manifest_sha256
        ]
        created_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        name = file.parent.relative_to(project.datasets).as_posix()
        entries.append(DatasetEntry(name, file.parent, created_at, spec, problems.get(file), tuple(users)))
    return entries


def remove_dataset(engine: Engine, project: Project, folder: Path) -> None:
    """Remove a data set, or all folds of one, from disk and catalogue; photographs and labels are kept.

    Args:
        engine: Catalogue engine.
        project: The project.
        folder: A folder in the project's folder of data sets.
    """
    with temporary_folder(folder.parent) as temporary:
        folder.rename(temporary / folder.name)  # gone at once, or not at all
    path = folder.relative_to(project.root).as_posix()

    def forget(connection: Connection) -> None:
        records = connection.execute(select(DatasetRecord.id, DatasetRecord.path)).all()
        ids = [id_ for id_, recorded in records if recorded == path or recorded.startswith(f"{path}/")]
        connection.execute(delete(DatasetRecord).where(DatasetRecord.id.in_(ids)))

    write(engine, forget)
    if folder.parent != project.datasets and not any(folder.parent.iterdir()):
        shutil.rmtree(folder.parent)


def _training_data(project: Project) -> Iterator[tuple[str, str]]:
    """Yield name and hash of the training data set of each run."""
    for file in sorted(project.runs.glob(f"*/{MODEL_FILE}")):
        try:
            data = read_toml(file).get("data", {})
        except InvalidDocument:
            continue
        if isinstance(data, dict):
            yield from ((file.parent.name, sha256) for sha256 in training_hashes(data))


def training_hashes(data: Mapping[str, Any]) -> list[str]:
    """Return the hashes of the data sets that a model was trained on.

    Args:
        data: Table ``data`` of ``model.toml``.
    """
    parts = data.get("datasets") or [data]
    return [str(part.get("manifest_sha256")) for part in parts if isinstance(part, dict)]
