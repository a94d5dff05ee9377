"""Check the photo store against the catalogue: damaged and missing files, and files that nothing names."""

import json
from collections.abc import Callable
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from sqlalchemy import Connection, Engine, func, select, update

from lightmeter.files import write_atomic
from lightmeter.harvest.catalogue.database.session import pages, read, write
from lightmeter.harvest.catalogue.models import Image, SightingRecord, SightingState
from lightmeter.harvest.store.garbage import refuse_active, unnamed_files
from lightmeter.project import Project
from lightmeter.store.base import PhotoStore
from lightmeter.terminal.console import get_console
from lightmeter.text.documents import InvalidDocument, read_json

_BATCH = 200


@dataclass(config=ConfigDict(strict=True, extra="forbid"))
class StoreCheck:
    """Result of a check, and its position, so that an interrupted check continues.

    Attributes:
        last: Id of the last image that was checked.
        checked: Number of files compared with their hash.
        damaged: Files with other bytes than their hash says; with the sightings that can be downloaded again.
        missing: Photographs of the catalogue without a file, likewise.
        orphans: Files that no image of the catalogue names.
        repaired: Whether the faults were repaired.
    """

    last: Annotated[int, Field(ge=0)] = 0
    checked: Annotated[int, Field(ge=0)] = 0
    damaged: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    repaired: bool = False

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.damaged or self.missing or self.orphans)


def count_images(engine: Engine) -> int:
    """Return the number of images of the catalogue, which is counted in an index."""
    return read(engine, lambda connection: connection.scalar(select(func.count()).select_from(Image))) or 0


def check_store(
    engine: Engine, project: Project, *, repair: bool, on_progress: Callable[[int], object] = lambda _: None
) -> StoreCheck:
    """Compare every file of the store with its hash; after an interruption, from where it stopped.

    A repair deletes damaged files and orphans, and makes the sightings of damaged and missing photographs fail, so
    that ``harvest retry`` downloads them again.

    Args:
        engine: Catalogue engine.
        project: The project.
        repair: Whether to repair.
        on_progress: Called with the number of images checked since the last call.

    Raises:
        UsageError: The store cannot be repaired while a process harvests.
    """
    if repair:
        refuse_active(engine)
    state = project.state / "store-check.json"
    result = _interrupted(state) or StoreCheck()
    on_progress(result.checked + len(result.missing))
    query = select(Image.id, Image.sha256).where(Image.id > result.last)
    for page in pages(engine, query, Image.id, _BATCH):
        faults = project.store.map(project.store.fault, [sha256 for _, sha256 in page])
        for (image_id, sha256), fault in zip(page, faults, strict=True):
            result.checked += fault != "missing"
            if fault:
                getattr(result, fault).append(_described(engine, image_id, sha256))
        result.last = page[-1][0]
        write_atomic(state, json.dumps(asdict(result)))
        on_progress(len(page))
    result.orphans = [file.key for file in unnamed_files(engine, project.store)]
    if repair:
        _repair(engine, project.store, result)
    state.unlink(missing_ok=True)
    return result


def _interrupted(state: Path) -> StoreCheck | None:
    """Return the position of an interrupted check; None if there is none, or if its file is damaged."""
    if not state.exists():
        return None
    try:
        return StoreCheck(**read_json(state))
    except (InvalidDocument, ValidationError, TypeError):
        get_console().note(f"{state} is damaged; the check starts again.")
        return None


def _described(engine: Engine, image_id: int, sha256: str) -> dict[str, Any]:
    query = select(SightingRecord.source, SightingRecord.source_id, SightingRecord.media_url)
    query = query.where(SightingRecord.image_id == image_id).order_by(SightingRecord.id)
    rows = read(engine, lambda connection: connection.execute(query).mappings().all())
    return {"sha256": sha256, "sightings": [dict(row) for row in rows]}


def _repair(engine: Engine, store: PhotoStore, result: StoreCheck) -> None:
    hashes = [row["sha256"] for row in (*result.damaged, *result.missing)]

    def work(connection: Connection) -> None:
        for start in range(0, len(hashes), _BATCH):
            images = select(Image.id).where(Image.sha256.in_(hashes[start : start + _BATCH]))
            failed = update(SightingRecord).where(SightingRecord.image_id.in_(images))
            lost = {"state": SightingState.FAILED, "reason": "store: file lost"}
            values = {**lost, "image_id": None, "file_version": None}
            connection.execute(failed.values(values))

    write(engine, work)
    for sha256 in (*(row["sha256"] for row in result.damaged), *(key.rpartition("/")[2] for key in result.orphans)):
        store.discard(sha256)
    result.repaired = True
