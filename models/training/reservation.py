"""Run folders that are reserved before the work begins, and written completely or not at all."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import check_folder
from lightmeter.models.runtime.spec import NAME, SPEC_FILE
from lightmeter.models.training.network.checkpoint import CHECKPOINT_FILE
from lightmeter.models.training.runs import DEFAULT_RUN
from lightmeter.project import find_project

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


def lock_file(folder: Path) -> Path:
    """Return the file that is locked while a run is trained."""
    return folder.with_name(f".{folder.name}.lock")


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
