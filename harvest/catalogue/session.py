"""Opening the catalogue."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.catalogue.migrate import head, revision_of
from lightmeter.project import Project

_WRITE_WAIT_S = 30


def engine_for(url: str) -> Engine:
    """Return an engine for a catalogue URL, SQLite tuned for one writer beside readers (WAL).

    Raises:
        UsageError: if the URL is none that SQLAlchemy knows, or its driver is not installed.
    """
    try:
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"The catalogue URL is wrong: {error}.") from error
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The catalogue's driver '{error.name}' is not installed; try: pip install 'lightmeter[postgresql]'."
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
    return engine


def open_engine(project: Project) -> Engine:
    """Open a project's catalogue, which must be at the newest revision.

    Raises:
        LightmeterError: if it cannot be reached.
        UsageError: if it must be upgraded first.
    """
    engine = engine_for(project.catalogue_url)
    with reachable():
        found = revision_of(engine)
    if found != head():
        raise UsageError(
            f"The catalogue is at revision {found or 'none'}, this Lightmeter needs {head()}; "
            "run 'lightmeter catalogue upgrade'."
        )
    return engine


@contextmanager
def reachable() -> Iterator[None]:
    """Turn the data base's own complaint about a connection into one sentence.

    Raises:
        LightmeterError: if the block cannot reach the catalogue.
    """
    try:
        yield
    except DBAPIError as error:
        raise LightmeterError(f"The catalogue cannot be reached: {str(error.orig).strip().splitlines()[0]}.") from error


def _tune_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={_WRITE_WAIT_S * 1000}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
