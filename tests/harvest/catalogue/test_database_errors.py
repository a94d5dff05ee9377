"""Errors of both databases are sentences of a closed list."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, make_url, select, text

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.database_errors import CatalogueError
from lightmeter.harvest.catalogue.database.rows import insert_rows
from lightmeter.harvest.catalogue.database.session import engine_for, write
from lightmeter.harvest.catalogue.models import DuplicateGroup, RateLimitRecord


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT secret FROM nowhere", "its tables are not those of Lightmeter"),
        ("INSERT INTO runs (id) VALUES (NULL)", "a value contradicts what is stored"),
        ("SELEC", "its tables are not those of Lightmeter"),
    ],
)
def test_statement_that_fails(engine: Engine, statement: str, reason: str) -> None:
    with pytest.raises(CatalogueError) as caught, engine.begin() as connection:
        connection.execute(text(statement))
    assert str(caught.value) == f"Cannot read or write the catalogue: {reason}."
    assert not caught.value.temporary
    assert caught.value.__cause__ is not None  # with the driver's words, for --debug


def test_rows_that_cannot_be_inserted(engine: Engine) -> None:
    orphan = {"radius": 6, "image_id": 1, "phash": 0, "group_id": 1}
    with pytest.raises(CatalogueError, match="a value contradicts what is stored") as caught:
        write(engine, lambda connection: insert_rows(connection, DuplicateGroup, [orphan]))
    assert caught.value.refused
    assert caught.value.__cause__ is not None


def test_rows_are_inserted_again_if_the_connection_is_lost(postgres: str) -> None:
    engine = engine_for(postgres.format(name="postgres"))
    with engine.begin() as connection:
        RateLimitRecord.__table__.create(connection)  # type: ignore[attr-defined]
    lost: list[CatalogueError] = []

    def work(connection: Connection) -> None:
        if not lost:
            backend = connection.scalar(func.pg_backend_pid())
            with engine.connect() as other:
                other.execute(func.pg_terminate_backend(backend))
        insert_rows(connection, RateLimitRecord, [{"service": name, "due": 0.0} for name in "ab"])

    write(engine, work, lost.append)
    assert [str(error) for error in lost] == ["Cannot read or write the catalogue: the server was stopped."]
    with engine.begin() as connection:
        assert connection.scalars(select(RateLimitRecord.service)).all() == ["a", "b"]
        RateLimitRecord.__table__.drop(connection)  # type: ignore[attr-defined]
    engine.dispose()


def test_catalogue_that_cannot_be_opened(tmp_path: Path, catalogue_url: str) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    (tmp_path / "folder").mkdir()
    reasons = {
        f"sqlite:///{tmp_path / 'text'}": "the file is not an SQLite database",
        f"sqlite:///{tmp_path / 'folder'}": "the file cannot be opened",
        "postgresql+psycopg://nobody@127.0.0.1:1/none": "no server answers",
        "postgresql+psycopg://nobody@nowhere.invalid/none": "its host is not known",
    }
    if catalogue_url.startswith("postgresql"):
        url = make_url(catalogue_url)
        reasons |= {
            url.set(database="none").render_as_string(hide_password=False): "the server has no such database",
            url.set(username="nobody").render_as_string(
                hide_password=False
            ): "the server refuses the user or the password",
        }
        options = {"sslmoed": "off"}, {"sslmode": "perhaps"}, {"connect_timeout": "soon"}, {"port": "99999"}
        for option in options:
            wrong = url.update_query_dict(option).render_as_string(hide_password=False)
            reasons[wrong] = "an option of its URL is invalid"
    for url_text, reason in reasons.items():
        engine = engine_for(url_text)
        with pytest.raises(CatalogueError, match=rf"^Cannot (reach|read or write) the catalogue: {reason}\.$"):
            engine.connect().execute(text("SELECT 1 FROM runs"))
        engine.dispose()


@pytest.mark.parametrize(
    "url", ["museum", "oracel://x/y", "mysql://x/y", "postgresql+asyncpg://x/y", "postgresql+psycopg://h:port/x", ""]
)
def test_url_of_no_catalogue(url: str) -> None:
    with pytest.raises(UsageError, match="Invalid catalogue URL; use sqlite:///FILE or postgresql"):
        engine_for(url)
