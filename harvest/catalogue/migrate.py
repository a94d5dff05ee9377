"""Schema migrations of the catalogue with Alembic, from the package ``lightmeter.migrations``."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine


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
