"""Migrations are copied before and wait for locks; `tests.faults.test_database` kills them at every statement."""

from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, text

from lightmeter.harvest.catalogue.database import migrate
from lightmeter.harvest.catalogue.database.database_errors import CatalogueError
from lightmeter.harvest.catalogue.database.session import engine_for, transaction, write


def test_head_is_the_newest_revision() -> None:
    assert migrate.head() == ScriptDirectory(str(files("lightmeter.migrations"))).get_current_head()


def test_catalogue_is_copied_before_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'catalogue.sqlite'}")
    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0001"))
    assert migrate.upgrade(engine) is None
    with transaction(engine) as connection:
        connection.execute(text("INSERT INTO datasets VALUES (1, 'name', 'path', 'hash', '{}', '2026-01-01')"))
    monkeypatch.setattr(command, "upgrade", upgrade)
    copy = migrate.upgrade(engine)
    assert copy == tmp_path / "catalogue-revision-0001.sqlite"
    assert migrate.revision_of(engine) == migrate.head()
    old = engine_for(f"sqlite:///{copy}")
    assert migrate.revision_of(old) == "0001"
    with old.connect() as connection:
        assert connection.scalar(text("SELECT name FROM datasets")) == "name"


URLS = {  # and the host that workers lease
    "https://Example.org:8443/1.jpg": "example.org",
    "http://127.0.0.1:80/2.jpg?a:b@c": "127.0.0.1",
    "https://[::1]:8080/3.jpg": "::1",
    "https://example.org./4.jpg": "example.org",
    "file:///home/ansel/5.jpg": "",
    "simulated:6": "",
    None: "",
}


def test_filled_catalogue_survives_a_killed_upgrade(catalogue_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_for(catalogue_url)
    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0001"))
    migrate.upgrade(engine)
    monkeypatch.setattr(command, "upgrade", upgrade)
    with transaction(engine) as connection:
        run = "'urls', '{}', '{}', 'stopped', 0, '2026-01-01'"
        connection.execute(
            text(f"INSERT INTO runs (id, source, query, options, state, existing, started_at) VALUES (1, {run})")
        )
        insert = text(
            "INSERT INTO sightings (id, run_id, source, source_id, media_url, state, attempts, found_at, changed_at)"
            " VALUES (:id, 1, 'urls', :name, :url, 'found', 0, '2026-01-01', '2026-01-01')"
        )
        rows = [{"id": number, "name": str(number), "url": url} for number, url in enumerate(URLS, 1)]
        connection.execute(insert, rows)
    for statement in ("ALTER TABLE runs", "UPDATE sightings SET host", "CREATE TABLE rate_limits"):
        killed = engine_for(catalogue_url)
        event.listen(killed, "before_cursor_execute", partial(_kill_at, statement))
        with pytest.raises(KeyboardInterrupt):
            migrate.upgrade(killed)
        killed.dispose()
        assert migrate.revision_of(engine) == "0001"
    migrate.upgrade(engine)
    assert migrate.revision_of(engine) == migrate.head()
    with engine.connect() as connection:
        rows_after = connection.execute(text("SELECT media_url, host FROM sightings ORDER BY id")).all()
        assert dict(tuple(row) for row in rows_after) == URLS
        assert connection.scalar(text("SELECT new FROM runs")) == len(URLS)
    engine.dispose()


def _kill_at(beginning: str, _connection: object, _cursor: object, sql: str, *_: object) -> None:
    if " ".join(sql.split()).startswith(beginning):
        raise KeyboardInterrupt


def test_locked_catalogue_is_waited_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
    engine, other = engine_for(url, retry_s=30), engine_for(url)
    migrate.upgrade(engine)
    lock = other.connect()
    lock.exec_driver_sql("BEGIN IMMEDIATE")
    messages: list[str] = []

    def unlock(error: CatalogueError) -> None:
        messages.append(str(error))
        lock.close()

    write(engine, lambda connection: connection.execute(text("UPDATE runs SET new = 0")), unlock)
    assert messages == ["Cannot read or write the catalogue: it is locked by another program."]
    hasty = engine_for(url, retry_s=0)
    lock = other.connect()
    lock.exec_driver_sql("BEGIN IMMEDIATE")
    with pytest.raises(CatalogueError, match="locked by another program"):
        write(hasty, lambda connection: None)
    lock.close()


def test_refused_values_are_not_repeated_and_quoted_without_sql(engine: Engine) -> None:
    calls = []

    def insert_twice(connection: Any) -> None:
        calls.append(1)
        for _ in range(2):
            connection.execute(
                text("INSERT INTO datasets VALUES (1, 'name', 'path', 'hash', '{}', '2026-01-01 00:00:00')")
            )

    with pytest.raises(CatalogueError) as caught:
        write(engine, insert_twice)
    assert caught.value.refused
    assert not caught.value.temporary
    assert "INSERT" not in str(caught.value)
    assert len(calls) == 1
