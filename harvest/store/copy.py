"""Copy the photographs of a catalogue to another store."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Engine, select

from lightmeter.harvest.catalogue.database.session import pages
from lightmeter.harvest.catalogue.models import Image
from lightmeter.store.base import Fault, PhotographError, PhotoStore

_BATCH = 200


@dataclass
class CopyResult:
    """Result of copying a store.

    Attributes:
        copied: Number of photographs that were copied.
        existing: Number of photographs that the target had already.
        size: Bytes that were copied.
        faults: Photographs that are missing or damaged in the source, by hash.
    """

    copied: int = 0
    existing: int = 0
    size: int = 0
    faults: dict[str, Fault] = field(default_factory=dict)


def copy_store(
    engine: Engine, source: PhotoStore, target: PhotoStore, on_progress: Callable[[int], object] = lambda _: None
) -> CopyResult:
    """Copy the photographs that the catalogue names and the target lacks; each is compared with its hash.

    It can be interrupted and repeated: what the target has, with its size in the catalogue, is not copied again.

    Args:
        engine: Catalogue engine.
        source: Store that has the photographs.
        target: Store that gets them; created if it is missing.
        on_progress: Called with the number of photographs processed since the last call.

    Raises:
        StoreError: A store cannot be read or written to.
    """
    target.create()
    result = CopyResult()
    with target:
        for page in pages(engine, select(Image.id, Image.sha256, Image.file_size), Image.id, _BATCH):
            sizes = {sha256: size for _, sha256, size in page}

            def copy(sha256: str, sizes: dict[str, int] = sizes) -> int | Literal["existing"] | Fault:
                if target.size(sha256) == sizes[sha256]:
                    return "existing"
                try:
                    data = source.read(sha256)
                except PhotographError as error:
                    return error.fault
                target.put(sha256, data)
                return len(data)

            for sha256, outcome in zip(sizes, target.map(copy, sizes), strict=True):
                _count(result, sha256, outcome)
            on_progress(len(page))
    return result


def _count(result: CopyResult, sha256: str, outcome: int | Literal["existing"] | Fault) -> None:
    if outcome == "existing":
        result.existing += 1
    elif isinstance(outcome, int):
        result.copied += 1
        result.size += outcome
    else:
        result.faults[sha256] = outcome
