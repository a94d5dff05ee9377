"""List and remove the runs of a project."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from lightmeter.errors import UsageError
from lightmeter.files import temporary_folder
from lightmeter.models.runtime.spec import SPEC_FILE, BrokenModel, ModelSpec, read_spec
from lightmeter.models.training.reservation import PARTIAL, lock_file
from lightmeter.project import Project


@dataclass(frozen=True)
class RunEntry:
    """A run of a project.

    Attributes:
        name: Name.
        folder: Run folder; of an unfinished run the folder that holds its checkpoint.
        state: ``finished``, ``training``, ``interrupted`` or ``damaged``.
        created_at: When it was finished, or last written to.
        spec: Content of ``model.toml`` of a finished run.
        size: Bytes of its files.
    """

    name: str
    folder: Path
    state: str
    created_at: datetime
    spec: ModelSpec | None
    size: int


def list_runs(project: Project) -> list[RunEntry]:
    """Return the runs of a project by name, also unfinished and damaged ones."""
    return sorted(_runs(project), key=lambda run: run.name)


def _runs(project: Project) -> Iterator[RunEntry]:
    for folder in project.runs.iterdir() if project.runs.is_dir() else ():
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        name, spec = folder.name.removesuffix(PARTIAL), None
        if folder.name.endswith(PARTIAL):
            state = "training" if _is_locked(folder.with_name(name)) else "interrupted"
        else:
            try:
                spec, state = read_spec(folder), "finished"
            except BrokenModel:
                state = "damaged"
        files = [file for file in folder.rglob("*") if file.is_file()]
        file = folder / SPEC_FILE if spec else folder
        created_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        yield RunEntry(name, folder, state, created_at, spec, sum(file.stat().st_size for file in files))


def remove_run(run: RunEntry) -> None:
    """Remove the files of a run.

    Raises:
        UsageError: The run is being trained.
    """
    lock = FileLock(lock_file(run.folder.with_name(run.name)), timeout=0)
    try:
        with lock, temporary_folder(run.folder.parent) as temporary:
            run.folder.rename(temporary / run.folder.name)  # gone at once, or not at all
    except Timeout as error:
        raise UsageError(f"The run {run.name} is being trained; stop that first.") from error
    Path(lock.lock_file).unlink(missing_ok=True)


def _is_locked(folder: Path) -> bool:
    lock = FileLock(lock_file(folder), timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True
