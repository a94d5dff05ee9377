"""Open the catalogue."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.catalogue.migrate import head, revision_of
from lightmeter.project import Project

_BUSY_TIMEOUT_MS = 30_000


def engine_for(url: str) -> Engine:
    """Return an engine for a catalogue URL, with SQLite in WAL mode for readers beside one writer.

    Raises:
        UsageError: The URL is not an SQLAlchemy URL, or its driver is not installed.
    """
    try:
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"Invalid catalogue URL: {error}.") from error
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The database driver '{error.name}' is not installed; run: pip install 'lightmeter[postgresql]'."
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    return engine


def open_engine(project: Project) -> Engine:
    """Return an engine for a project's catalogue.

    Raises:
        LightmeterError: The database is not reachable.
        UsageError: The catalogue must be upgraded first.
    """
    engine = engine_for(project.catalogue_url)
    with reachable():
        revision = revision_of(engine)
    if revision != head():
        raise UsageError(
            f"The catalogue has revision {revision or 'none'}, but this version of Lightmeter needs {head()}; "
            "run 'lightmeter catalogue upgrade'."
        )
    return engine


@contextmanager
def reachable() -> Iterator[None]:
    """Convert database errors of a block into one sentence.

    Raises:
        LightmeterError: The database is not reachable.
    """
    try:
        yield
    except DBAPIError as error:
        raise LightmeterError(f"Cannot reach the catalogue: {str(error.orig).strip().splitlines()[0]}.") from error


def _configure_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
