"""A catalogue that tests fill row by row, and a review page over one."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from sqlalchemy import Engine, Select, update
from sqlalchemy.orm import Session

from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, Inspection, Sighting, SightingState
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.harvest.store import PhotoStore
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.review.server import ReviewServer
from lightmeter.labels.targets.registry import get_target
from lightmeter.project import Project
from tests.labels.reviewing import COUNT, serving
from tests.support import create_project


@dataclass
class Catalogue:
    """A project with an empty catalogue, and ways to put photographs into it.

    Attributes:
        count: of photographs; the next one's bytes are its number.
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
        """Add one photograph with EXIF values in its file, and return its image's id."""
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
            sighting = Sighting(
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
                session.add(Sighting(run_id=run.id, image_id=image.id, **again))
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


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """An empty SQLite catalogue in a project that is the working directory."""
    yield from _catalogue(tmp_path, monkeypatch)


@pytest.fixture
def any_catalogue(catalogue_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """The same on SQLite, then on PostgreSQL, for tests of what the data base does."""
    monkeypatch.setenv("LIGHTMETER_CATALOGUE__URL", catalogue_url)
    yield from _catalogue(tmp_path, monkeypatch)


def _catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    project = create_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    engine = open_engine(project)
    yield Catalogue(project, engine)
    engine.dispose()


@pytest.fixture
def server(catalogue: Any) -> Iterator[ReviewServer]:
    """A review page over a few drawn photographs; the first lies on its side (Orientation 6)."""
    store = PhotoStore(catalogue.project.store, catalogue.project.state / "aside")
    for index in range(COUNT):
        image = catalogue.photograph(medium="digital", orientation=6 if index == 0 else 1, iso=100.0 * (index + 1))
        out = io.BytesIO()
        picture = Picture.linear_gradient("L").resize((640, 480)).convert("RGB")
        picture.paste((index * 10, 120, 255 - index * 10), (64, 48, 64 + index * 20, 400))
        exif = Picture.Exif()
        exif[0x0112] = 6 if index == 0 else 1
        picture.save(out, "JPEG", exif=exif)
        sha256 = hashlib.sha256(out.getvalue()).hexdigest()
        store.put(sha256, out.getvalue())
        with catalogue.engine.begin() as connection:
            connection.execute(update(Image).where(Image.id == image).values(sha256=sha256))
    apply(catalogue.engine, [get_target("medium")])
    with serving(catalogue) as running:
        yield running
