"""Databases that end at any moment: killed migrations, and PostgreSQL that is stopped and started under a command."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, event, text

from lightmeter.harvest.catalogue.database import migrate
from lightmeter.harvest.catalogue.database.session import engine_for
from lightmeter.testing import photograph
from tests.conftest import skip_without
from tests.faults.conftest import Trials
from tests.postgresql import PostgresServer, find_programs
from tests.support import LOOPBACK, CommandRunner, HttpResponse, Site


class Killed(BaseException):
    """Stands for a process that ends at a statement."""


@pytest.mark.trials("migrations killed before a statement")
def test_migration_killed_at_any_statement(catalogue_url: str, trials: Trials) -> None:
    """A migration is one transaction: after a kill the catalogue is as it was, and the next migration succeeds."""
    engine = engine_for(catalogue_url)
    for start in (None, "0001", "0002") if trials.long else (None,):
        statements = _count_statements(catalogue_url, start)
        points = range(1, statements + 1)
        for point in points if trials.long else sorted(trials.rng.sample(points, 4)):
            with trials.trial(f"{engine.dialect.name}, from {start}, statement {point} of {statements}"):
                _prepare(engine, start)
                killed = engine_for(catalogue_url)
                _kill_at(killed, point)
                with pytest.raises(Killed):
                    migrate.upgrade(killed)
                killed.dispose()
                assert migrate.revision_of(engine) == start
                migrate.upgrade(engine)
                assert migrate.revision_of(engine) == migrate.head()
    engine.dispose()


def _prepare(engine: Engine, revision: str | None) -> None:
    """Give a catalogue an earlier revision; without one it is empty."""
    _empty(engine)
    if revision is not None:
        config = migrate._config()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)


def _count_statements(url: str, start: str | None) -> int:
    engine = engine_for(url)
    _prepare(engine, start)
    run = _kill_at(engine, 0)
    migrate.upgrade(engine)
    engine.dispose()
    return len(run)


def _kill_at(engine: Engine, statement: int) -> list[str]:
    """Let a statement of an engine fail; return the list of the statements run."""
    run: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def record(connection: Any, cursor: Any, sql: str, *_: object) -> None:
        run.append(sql)
        if len(run) == statement:
            raise Killed

    return run


def _empty(engine: Engine) -> None:
    """Remove all tables."""
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        return
    engine.dispose()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{engine.url.database}{suffix}").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this module's own, which is stopped."""
    if find_programs() is None:
        skip_without("PostgreSQL")
    server = PostgresServer(f"lm-trial-{os.getpid()}")
    yield server
    server.remove()


@pytest.mark.parametrize("back", [True, False], ids=["comes back", "stays away"])
@pytest.mark.trials("PostgreSQL stopped", seconds=45)
def test_stopped_under_a_crawl(
    back: bool, server: PostgresServer, site: Site, project: Path, lightmeter: CommandRunner, trials: Trials
) -> None:
    for number in trials.numbers(1, 6):
        variables = LOOPBACK | {
            "LIGHTMETER_CATALOGUE__URL": _new_database(server, f"{back}{number}".lower()),
            "LIGHTMETER_CATALOGUE__RETRY_S": "60" if back else "1",
            "LIGHTMETER_INSPECT__WORKERS": "1",
            "LIGHTMETER_INSPECT__LATER": '["faces"]',
        }
        assert lightmeter.run("init", ".", env=variables).code == 0
        count = max(30, trials.count(30, 300))
        pause_at = trials.rng.randrange(10, count // 2)
        stopped = threading.Event()

        def respond(_: int, seed: int, stopped: threading.Event = stopped, pause_at: int = pause_at) -> HttpResponse:
            if sum(site.requests.values()) > pause_at:
                stopped.set()
            return HttpResponse(photograph(seed), headers={"Content-Type": "image/jpeg"})

        site.requests.clear()
        for seed in range(count):
            site.responses[f"/{seed}.jpg"] = lambda times, seed=seed, respond=respond: respond(times, seed)
        urls = project / f"urls-{number}.txt"
        urls.write_text("".join(f"{site.url}/{seed}.jpg\n" for seed in range(count)))
        interruption = threading.Thread(target=_interrupt, args=(server, stopped, back))
        interruption.start()
        with trials.trial(f"comes back: {back}, after {pause_at} of {count} requests"):
            result = lightmeter.run("harvest", "run", "urls", urls, "--json", env=variables)
            stopped.set()
            interruption.join()
            assert "Traceback" not in result.error, result.error
            if back:
                assert result.code == 0, result.error
                counts = result.document
                assert (counts["state"], counts["fetched"], counts["pending"]) == ("finished", count, 0), counts
            else:
                assert result.code == 1, result.error
                assert "catalogue" in result.error
                server.start()
                resumed = lightmeter("harvest", "resume", env=variables)
                assert (resumed["state"], resumed["fetched"]) == ("finished", count)
                assert max(site.requests.values()) <= 3


@pytest.mark.trials("PostgreSQL stopped")
def test_stopped_under_other_commands(
    server: PostgresServer, project: Path, tmp_path: Path, lightmeter: CommandRunner, trials: Trials
) -> None:
    variables = {"LIGHTMETER_CATALOGUE__URL": _new_database(server, "others"), "LIGHTMETER_INSPECT__WORKERS": "1"}
    assert lightmeter.run("init", ".", env=variables).code == 0
    (tmp_path / "photographs").mkdir()
    for seed in range(8):
        (tmp_path / "photographs" / f"{seed}.jpg").write_bytes(photograph(seed))
    later = variables | {"LIGHTMETER_INSPECT__LATER": '["borders", "quality", "faces"]'}
    lightmeter("harvest", "run", "folder", tmp_path / "photographs", env=later)
    with trials.trial("at the start of a worker"):
        server.stop()
        threading.Timer(1, server.start).start()
        result = lightmeter.run("harvest", "work", env=variables)
        assert result.code == 0, result.error
    for args in (("harvest", "inspect"), ("labels", "apply", "iso", "shutter")) * trials.count(1, 3):
        with trials.trial(f"{args}"):
            moment, ended = threading.Event(), threading.Event()
            interruption = threading.Thread(target=_interrupt, args=(server, moment, True))
            interruption.start()
            url = variables["LIGHTMETER_CATALOGUE__URL"]
            delay_s = trials.rng.uniform(0, 0.3)
            threading.Thread(target=_set_after_connection, args=(url, moment, delay_s, ended)).start()
            result = lightmeter.run(*args, env=variables)
            ended.set()
            interruption.join()
            assert result.code == 0, result.error


def _new_database(server: PostgresServer, name: str) -> str:
    admin = create_engine(server.url.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE trial_{name}"))
    admin.dispose()
    return server.url.format(name=f"trial_{name}")


def _set_after_connection(url: str, moment: threading.Event, delay_s: float, ended: threading.Event) -> None:
    """Set an event some time after a command has connected to a database, or when it has ended."""
    admin = create_engine(url)
    query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    with admin.connect() as connection:
        while connection.scalar(query) <= 1 and not ended.wait(0.02):
            pass
    admin.dispose()
    time.sleep(delay_s)
    moment.set()


def _interrupt(server: PostgresServer, moment: threading.Event, back: bool) -> None:
    """Stop the server at a moment, and start it again after a second."""
    moment.wait(timeout=200)
    server.stop()
    if back:
        time.sleep(1)
        server.start()
