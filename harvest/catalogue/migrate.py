"""Revisions of the catalogue: Alembic, run from the package ``migrations`` wherever it is installed."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine


def head() -> str:
    """Return the newest revision that this Lightmeter knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - the package ships at least one
    return revision


def revision_of(engine: Engine) -> str | None:
    """Return the revision a catalogue is at; None if it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Bring a catalogue to the newest revision; on SQLite in one transaction."""
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("lightmeter.migrations")))
    return config
