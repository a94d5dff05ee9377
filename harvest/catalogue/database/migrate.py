"""Migrate the schema of the catalogue with Alembic, from the package ``lightmeter.migrations``."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from lightmeter.files import atomic_path

if TYPE_CHECKING:
    from alembic.config import Config

_HEAD = "0003"
_LOCK_KEY = 0x4C69676874  # of PostgreSQL's advisory lock; any number that other programs do not use


def head() -> str:
    """Return the newest revision of the schema."""
    return _HEAD


def revision_of(engine: Engine) -> str | None:
    """Return the revision of a catalogue, or None if it is empty."""
    with engine.connect() as connection:
        return _revision(connection)


def upgrade(engine: Engine) -> Path | None:
    """Migrate a catalogue to the newest revision, in one transaction: after a kill it has the old or the new one.

    A second process waits for the first. A SQLite catalogue with a revision is copied before.

    Returns:
        Path of the copy; None if none was made.

    Raises:
        CatalogueError: The database is locked, unreachable or full.
    """
    from alembic import command

    copy = _copy(engine)
    config = _config()
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":  # Python's driver begins no transaction before it changes the schema
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return copy


def _copy(engine: Engine) -> Path | None:
    """Copy a SQLite file beside it before its schema changes; return the path of the copy."""
    revision = revision_of(engine)
    database = engine.url.database
    if revision in (None, head()) or engine.dialect.name != "sqlite" or database in (None, "", ":memory:"):
        return None
    original = Path(str(database))
    copy = _unused(original.with_name(f"{original.stem}-revision-{revision}{original.suffix}"))
    with atomic_path(copy) as temporary, engine.connect() as connection:
        connection.exec_driver_sql("VACUUM INTO ?", (str(temporary),))
    return copy


def _unused(path: Path) -> Path:
    number = 1
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def _revision(connection: Connection) -> str | None:
    """Return the revision without Alembic, whose import takes a tenth of a second."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("lightmeter.migrations")))
    return config
