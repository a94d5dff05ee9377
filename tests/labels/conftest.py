"""A catalogue that tests fill row by row."""

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Select, insert, select

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import Base, Exif, HarvestRun, Image, Inspection, SightingRecord, SightingState
from lightmeter.project import Project
from tests.support import create_project


@dataclass
class Catalogue:
    """A project with an empty catalogue that tests fill.

    Attributes:
        project: The project.
        engine: Catalogue engine.
        count: Number of photographs added; the content of each is its number.
    """

    project: Project
    engine: Engine
    count: int = 0

    def photograph(
        self,
        *,
        owner: str | None = None,
        body: str | None = None,
        phash: str | None = None,
        problem: str | None = None,
        medium: str | None = None,
        source: str = "folder",
        also_at: str | None = None,
        licence: str | None = "CC0",
        concepts: list[str] | None = None,
        api: dict[str, Any] | None = None,
        sidecar: dict[str, Any] | None = None,
        **exif: Any,
    ) -> int:
        """Add a photograph with EXIF values of its file, and return its image id."""
        self.count += 1
        with self.engine.begin() as connection:

            def add(table: type[Base], /, **values: Any) -> int:
                (key,) = connection.execute(insert(table).values(values)).inserted_primary_key
                return int(key)

            run_id = connection.scalar(select(HarvestRun.id)) or add(HarvestRun, source="folder", query={}, options={})
            image_id = add(
                Image,
                sha256=hashlib.sha256(str(self.count).encode()).hexdigest(),
                format="JPEG",
                width=640,
                height=480,
                file_size=1000 + self.count,
                problem=problem,
                body=body,
            )
            fetched = {"run_id": run_id, "image_id": image_id, "state": SightingState.FETCHED}
            sighting_id = add(
                SightingRecord,
                source=source,
                source_id=str(self.count),
                file=f"{self.count}.jpg",
                owner=owner,
                licence=licence,
                medium=medium,
                concepts=concepts,
                **fetched,
            )
            if also_at is not None:
                add(SightingRecord, source=also_at, source_id="again", **fetched)
            add(Exif, image_id=image_id, origin="file", **exif)
            for origin, values in (("api", api), ("sidecar", sidecar)):
                if values is not None:
                    add(Exif, sighting_id=sighting_id, origin=origin, **values)
            if phash is not None:
                measures = {"phash": phash}
                connection.execute(
                    insert(Inspection).values(
                        image_id=image_id, filter="duplicates", version=1, verdict="single", measures=measures
                    )
                )
            return image_id

    def fill_once(self, fill: "Callable[..., object]", *args: Any) -> None:
        """Fill the empty project with a function; on SQLite later calls with the same arguments copy it."""
        if self.engine.dialect.name != "sqlite":
            fill(self, *args)
            return
        assert not self.count
        database, key = str(self.engine.url.database), (fill, *args)
        if key not in _FILLED:
            fill(self, *args)
            self.engine.dispose()
            folder = Path(tempfile.mkdtemp(prefix="lightmeter-filled-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            shutil.copytree(self.project.root, folder / "project")
            shutil.copyfile(database, folder / "catalogue.sqlite")
            _FILLED[key] = folder, self.count
        else:
            self.engine.dispose()
            folder, self.count = _FILLED[key]
            shutil.copytree(folder / "project", self.project.root, dirs_exist_ok=True)
            shutil.copyfile(folder / "catalogue.sqlite", database)

    def rows(self, query: Select[Any]) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(query))


_FILLED: dict[tuple[Any, ...], tuple[Path, int]] = {}
"""By function that fills a project and its arguments, a copy of the project and the number of its photographs."""


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """An empty SQLite catalogue in a project that is the working directory."""
    yield from _catalogue(tmp_path, monkeypatch)


@pytest.fixture
def any_catalogue(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """An empty catalogue on SQLite, and on PostgreSQL."""
    monkeypatch.setenv("LIGHTMETER_CATALOGUE__URL", migrated_url)
    yield from _catalogue(tmp_path, monkeypatch)


def _catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    project = create_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    engine = open_engine(project)
    yield Catalogue(project, engine)
    engine.dispose()
