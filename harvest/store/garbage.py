"""Garbage collection: stored files that nothing names."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import read
from lightmeter.harvest.catalogue.leases.runs import active_runs, running_message
from lightmeter.harvest.catalogue.leases.workers import active_workers
from lightmeter.harvest.catalogue.models import Image
from lightmeter.store.base import SHARDS, PhotoStore, StoredFile

_LISTED_TOGETHER = 16


@dataclass(frozen=True)
class Garbage:
    """Result of a garbage collection.

    Attributes:
        files: Files that no image of the catalogue names, except recent ones.
        recent: Number of unnamed files that are kept, because they may just be stored.
        removed: Number of files that were removed.
    """

    files: Sequence[StoredFile]
    recent: int
    removed: int

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.size for file in self.files)


def collect_garbage(
    engine: Engine,
    store: PhotoStore,
    min_age: timedelta,
    *,
    remove: bool,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Garbage:
    """Find the stored files that no image of the catalogue names, and remove them.

    A photograph is stored before the catalogue names it. So recent files are kept, nothing is removed while a process
    harvests, and each file is looked up once more just before it is removed.

    Args:
        engine: Catalogue engine.
        store: The photo store.
        min_age: Age at which an unnamed file is no longer recent.
        remove: Whether to remove the files.
        on_progress: Called with the number of `SHARDS` searched since the last call.

    Raises:
        UsageError: Files cannot be removed while a process harvests.
        StoreError: The store cannot be read or written to.
    """
    if remove:
        refuse_active(engine)
    latest, files, recent, removed = datetime.now(UTC) - min_age, [], 0, 0
    for shard, listed in _listings(store):
        unnamed = list(_unnamed(engine, shard, listed))
        old = [file for file in unnamed if file.modified <= latest]
        recent += len(unnamed) - len(old)
        files += old
        if remove and old:
            refuse_active(engine)
            again = set(_unnamed(engine, shard, old))
            removed += sum(store.discard(file.sha256) for file in old if file in again)
        on_progress(1)
    return Garbage(files, recent, removed)


def unnamed_files(engine: Engine, store: PhotoStore) -> Iterator[StoredFile]:
    """Yield all stored files that no image names."""
    for shard, listed in _listings(store):
        yield from _unnamed(engine, shard, listed)


def refuse_active(engine: Engine) -> None:
    """Check that no process harvests.

    Raises:
        UsageError: One does.
    """
    active = read(engine, active_runs)
    if active:
        raise UsageError(running_message(*next(iter(active.items()))))
    if read(engine, active_workers):
        raise UsageError("Workers of 'harvest work' are downloading; stop them first, or wait until they end.")


def _listings(store: PhotoStore) -> Iterator[tuple[str, list[StoredFile]]]:
    """Yield the files of each part of a store; object storage lists several parts at a time, and no empty ones."""
    existing = set(store.shards())

    def files(shard: str) -> list[StoredFile]:
        return list(store.files(shard)) if shard in existing else []

    for start in range(0, len(SHARDS), _LISTED_TOGETHER):
        shards = SHARDS[start : start + _LISTED_TOGETHER]
        yield from zip(shards, store.map(files, shards), strict=True)


def _unnamed(engine: Engine, shard: str, files: Sequence[StoredFile]) -> Iterator[StoredFile]:
    """Yield the files of a part of the store that no image names."""
    if not files:
        return
    query = select(Image.sha256).where(Image.sha256 >= shard, Image.sha256 < f"{shard}g")
    names = set(read(engine, lambda connection: connection.scalars(query).all()))
    yield from (file for file in files if file.sha256 not in names)
