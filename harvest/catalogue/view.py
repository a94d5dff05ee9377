"""A read-only view of the catalogue and the photo store, for notebooks and plugin authors."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PillowImage
from sqlalchemy import select

from lightmeter.harvest.catalogue.database.session import open_engine, pages
from lightmeter.harvest.catalogue.export.export import TableOptions, export
from lightmeter.harvest.catalogue.lookup import check_matches, find_image
from lightmeter.harvest.catalogue.models import Image
from lightmeter.harvest.catalogue.query.parser import condition_of
from lightmeter.harvest.catalogue.query.saved import resolve_query
from lightmeter.images.reader import open_image
from lightmeter.project import Project, find_project

_PAGE = 2000


class Catalogue:
    """Read-only view of a project's catalogue and photo store.

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._engine = open_engine(project)

    def photographs(self, where: str = "") -> pa.Table:
        """Return the downloaded photographs as an Arrow table; ``.to_pandas()`` converts it.

        Args:
            where: Query as for ``--where``, for example ``"iso >= 800 and make = Canon"`` (default: all).

        Returns:
            The table that ``lightmeter catalogue export`` writes: one row per sighting, one column per value.

        Raises:
            UsageError: The query is invalid.

        Example:
            >>> photographs = open_catalogue().photographs(where="iso >= 100")
            >>> photographs.select(["sha256", "iso"]).num_columns
            2
        """
        with TemporaryDirectory() as folder:
            file = Path(folder) / "photographs.parquet"
            condition = condition_of(resolve_query(where, self._project))
            export(self._engine, file, "parquet", TableOptions(where=condition))
            return pq.read_table(file)

    def path(self, name: str) -> Path:
        """Return the path of a photograph's original file; for an object store, of a copy in the local cache.

        Args:
            name: SHA-256 or its first digits, file name, or id at the source.

        Raises:
            UsageError: No photograph matches, or several do.
        """
        return self._project.store.path(self._sha256(name))

    def image(self, name: str) -> PillowImage.Image:
        """Return a photograph as a Pillow image, as stored: the EXIF orientation is not applied.

        Args:
            name: As for `path`.

        Raises:
            UsageError: No photograph matches, or several do.

        Example:
            >>> catalogue = open_catalogue()
            >>> catalogue.image(catalogue.photographs()["sha256"][0].as_py()).format
            'JPEG'
        """
        return open_image(self._project.store.read(self._sha256(name)))

    def _sha256(self, name: str) -> str:
        with self._engine.connect() as connection:
            image_id = find_image(connection, name)
            return connection.scalars(select(Image.sha256).where(Image.id == image_id)).one()


def open_catalogue(project: Project | Path | str | None = None) -> Catalogue:
    """Open the catalogue of a project for reading.

    Args:
        project: A project or its folder (default: the project of the working directory).

    Raises:
        UsageError: There is no such project, or its catalogue must be upgraded first.
        LightmeterError: The database cannot be reached.

    Example:
        >>> open_catalogue(".").photographs(where="f_number < 4").num_rows > 0
        True
    """
    if project is None:
        project = find_project()
    return Catalogue(project if isinstance(project, Project) else find_project(Path(project)))


def select_photographs(project: Project, where: str) -> Iterator[str]:
    """Yield the SHA-256 of the readable photographs that match a query, in the order of their ids.

    `Project.select_photographs` calls it.

    Raises:
        UsageError: The query is invalid.
        LightmeterError: No photograph matches.
    """
    where = resolve_query(where, project)
    check_matches(project, where)
    query, condition = select(Image.id, Image.sha256).where(Image.problem.is_(None)), condition_of(where)
    if condition is not None:
        query = query.where(condition)
    engine = open_engine(project)
    return (sha256 for page in pages(engine, query, Image.id, _PAGE) for _, sha256 in page)
