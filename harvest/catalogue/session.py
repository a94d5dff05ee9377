"""Open the catalogue and migrate its schema with Alembic, from the package ``lightmeter.migrations``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, Select, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.project import Project

_BUSY_TIMEOUT_MS = 30_000


def engine_for(url: URL | str) -> Engine:
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


def catalogue_url(project: Project) -> URL:
    """Return the URL of a project's catalogue, with an absolute path for SQLite.

    Raises:
        UsageError: The setting is not an SQLAlchemy URL.
    """
    try:
        url = make_url(project.settings.catalogue.url)
    except (ArgumentError, ValueError) as error:
        raise UsageError(f"Invalid catalogue URL: {error}.") from error
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith(("/", ":", "file:")):
        return url
    return url.set(database=str(project.root / url.database))  # a path, whatever characters it has


def open_engine(project: Project) -> Engine:
    """Return an engine for a project's catalogue.

    Raises:
        LightmeterError: The database is not reachable.
        UsageError: The catalogue must be upgraded first.
    """
    engine = engine_for(catalogue_url(project))
    with reachable():
        revision = revision_of(engine)
    if revision != head():
        raise UsageError(
            f"The catalogue has revision {revision or 'none'}, but this version of Lightmeter needs {head()}; "
            "run 'lightmeter catalogue upgrade'."
        )
    return engine


def pages(engine: Engine, query: Select[*tuple[Any, ...]], key: Any, size: int) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query in pages, each in a transaction of its own, so that rows can be changed meanwhile.

    Args:
        engine: Catalogue engine.
        query: Query that selects the key first.
        key: Column of positive ids by which the rows are sorted.
        size: Maximum number of rows of a page.
    """
    rows: Sequence[Any] = ()
    while True:
        with engine.connect() as connection:
            last = rows[-1][0] if rows else 0
            rows = connection.execute(query.where(key > last).order_by(key).limit(size)).all()
        if not rows:
            return
        yield rows


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


def head() -> str:
    """Return the newest revision of the schema."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def revision_of(engine: Engine) -> str | None:
    """Return the revision of a catalogue, or None if it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Migrate a catalogue to the newest revision, on SQLite in one transaction."""
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("lightmeter.migrations")))
    return config


def _configure_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
