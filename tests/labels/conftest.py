"""A catalogue that tests fill row by row."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from sqlalchemy import Engine, Select
from sqlalchemy.orm import Session

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, Inspection, SightingRecord, SightingState
from lightmeter.labels.datasets.card import plots
from lightmeter.project import Project
from tests.support import create_project, write_empty_plots


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
        with Session(self.engine) as session, session.begin():
            run = session.get(HarvestRun, 1)
            if run is None:
                run = HarvestRun(source="folder", query={}, options={})
                session.add(run)
            image = Image(
                sha256=hashlib.sha256(str(self.count).encode()).hexdigest(),
                format="JPEG",
                width=640,
                height=480,
                file_size=1000 + self.count,
                problem=problem,
                body=body,
            )
            session.add(image)
            session.flush()
            sighting = SightingRecord(
                run_id=run.id,
                source=source,
                source_id=str(self.count),
                file=f"{self.count}.jpg",
                owner=owner,
                licence=licence,
                medium=medium,
                concepts=concepts,
                state=SightingState.FETCHED,
                image_id=image.id,
            )
            session.add(sighting)
            session.flush()
            if also_at is not None:
                again = {"source": also_at, "source_id": "again", "state": SightingState.FETCHED}
                session.add(SightingRecord(run_id=run.id, image_id=image.id, **again))
            session.add(Exif(image_id=image.id, origin="file", **exif))
            for origin, values in (("api", api), ("sidecar", sidecar)):
                if values is not None:
                    session.add(Exif(sighting_id=sighting.id, origin=origin, **values))
            if phash is not None:
                session.add(
                    Inspection(
                        image_id=image.id, filter="duplicates", version=1, verdict="single", measures={"phash": phash}
                    )
                )
            return image.id

    def rows(self, query: Select[Any]) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(query))


@pytest.fixture(autouse=True)
def _empty_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the plots of cards only in tests with the marker ``plots``; in others these files are empty."""
    write_empty_plots(request, monkeypatch)
    if not request.node.get_closest_marker("plots"):
        monkeypatch.setattr(plots, "_figure", lambda *_: (MagicMock(), MagicMock()))


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
