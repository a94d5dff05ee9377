"""An empty catalogue on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from lightmeter.harvest.catalogue.database.session import engine_for


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """An empty catalogue with the newest revision."""
    engine = engine_for(migrated_url)
    yield engine
    engine.dispose()
