"""Open the catalogue, and run transactions that wait for a locked or unreachable database."""

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    ARRAY,
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Select,
    any_,
    create_engine,
    event,
    func,
    literal,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.database_errors import CatalogueError, catalogue_error
from lightmeter.harvest.catalogue.database.migrate import head, revision_of
from lightmeter.project import Project
from lightmeter.terminal.console import get_console
from lightmeter.text.names import name_key

Result = TypeVar("Result")

_BUSY_TIMEOUT_MS, _SHORT_BUSY_TIMEOUT_MS = 30_000, 500
_RETRY_S = 60.0
_CACHE_KB = 64_000
_LOG_PAGES = 10_000  # of 4 KiB in the write-ahead log, after which it is copied to the database
_CONNECT_ARGS = {"psycopg": {"connect_timeout": 10}}  # psycopg's own limit is two minutes
_DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg"}
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.05, 2.0
_SURROGATE = re.compile("[\ud800-\udfff]")


def engine_for(url: URL | str, retry_s: float = _RETRY_S) -> Engine:
    """Return an engine for a catalogue URL, with SQLite in WAL mode for readers beside one writer.

    A catalogue on a read-only file system, or of another user, is opened for reading only. Its
    database errors are `CatalogueError`.

    Args:
        url: SQLAlchemy URL.
        retry_s: Seconds for which `write` and `read` repeat a transaction.

    Raises:
        UsageError: The URL is not that of a catalogue, or its driver is not installed.
    """
    parsed = _read_only_if_necessary(_parse_url(url))
    is_server = parsed.get_backend_name() != "sqlite"
    try:
        engine = create_engine(
            parsed,
            execution_options={"retry_s": retry_s},
            pool_pre_ping=is_server,  # it may have been restarted since the last transaction
            json_serializer=_to_json,
            connect_args={} if "connect_timeout" in parsed.query else _CONNECT_ARGS.get(parsed.get_driver_name(), {}),
        )
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The database driver '{error.name}' is not installed; run: pip install 'lightmeter[postgresql]'."
        ) from error
    event.listen(engine, "handle_error", catalogue_error, retval=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", add_name_key)
        if "mode" not in engine.url.query:
            event.listen(engine, "connect", _configure_sqlite)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _configure_postgresql)
    return engine


def catalogue_url(project: Project) -> URL:
    """Return the URL of a project's catalogue, with an absolute path for SQLite.

    Raises:
        UsageError: The setting is not the URL of a catalogue.
    """
    url = _parse_url(project.settings.catalogue.url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith(("/", ":", "file:")):
        return url
    return url.set(database=str(project.root / url.database))  # a path, whatever characters it has


def connect(project: Project, retry_s: float | None = None) -> tuple[Engine, str | None]:
    """Return an engine for a project's catalogue and its revision, None if it is empty.

    A server that restarts is waited for.

    Args:
        project: The project.
        retry_s: Seconds for which it is waited for (default: ``[catalogue] retry_s``).

    Raises:
        CatalogueError: The database is not reachable within this time.
    """
    retry_s = project.settings.catalogue.retry_s if retry_s is None else retry_s
    engine = engine_for(catalogue_url(project), retry_s)
    noted: list[CatalogueError] = []

    def note(error: CatalogueError) -> None:
        if not noted:
            get_console().note(f"{error} Trying again for {retry_s:g} s.")
        noted.append(error)

    return engine, _repeat(engine, lambda: revision_of(engine), note)


def open_engine(project: Project, retry_s: float | None = None) -> Engine:
    """Return an engine for a project's catalogue, which has the newest revision.

    Args:
        project: The project.
        retry_s: Seconds for which a database is waited for (default: ``[catalogue] retry_s``).

    Raises:
        CatalogueError: The database is not reachable within this time.
        UsageError: The catalogue must be upgraded first.
    """
    engine, revision = connect(project, retry_s)
    if revision != head():
        raise UsageError(
            f"The catalogue has revision {revision or 'none'}, but this version of Lightmeter needs {head()}; "
            "run 'lightmeter catalogue upgrade'."
        )
    return engine


@contextmanager
def transaction(engine: Engine, *, foreign_keys: bool = True) -> Iterator[Connection]:
    """Begin a transaction that writes; on SQLite it takes the write lock at once, so that no read in it is outdated.

    Args:
        engine: Catalogue engine.
        foreign_keys: Whether SQLite checks the foreign key of each row. What selects its keys from the table that they
            refer to needs no check: nothing else writes during the transaction.

    Raises:
        CatalogueError: The database is locked, unreachable or full.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA foreign_keys={foreign_keys:d}")
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_SHORT_BUSY_TIMEOUT_MS}")
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        yield connection


def write(
    engine: Engine,
    work: Callable[[Connection], Result],
    on_wait: Callable[[CatalogueError], object] = lambda _: None,
    *,
    foreign_keys: bool = True,
) -> Result:
    """Run a function in a transaction; repeat both while the database is locked or unreachable.

    Args:
        engine: Catalogue engine.
        work: Function that writes; it may be called several times.
        on_wait: Called before each repetition.
        foreign_keys: As for `transaction`.

    Raises:
        CatalogueError: The database refused a statement, or the time for repetitions has passed.
    """

    def attempt() -> Result:
        with transaction(engine, foreign_keys=foreign_keys) as connection:
            return work(connection)

    return _repeat(engine, attempt, on_wait)


def read(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """Run a function that only reads, and repeat it as `write` does.

    Raises:
        CatalogueError: The database refused a statement, or the time for repetitions has passed.
    """

    def attempt() -> Result:
        with engine.connect() as connection:
            return work(connection)

    return _repeat(engine, attempt, lambda _: None)


def pages(engine: Engine, query: Select[*tuple[Any, ...]], key: Any, size: int) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query in pages, each in a transaction of its own, so that rows can be changed meanwhile.

    Args:
        engine: Catalogue engine.
        query: Query that selects the key first.
        key: Column of positive ids by which the rows are sorted.
        size: Maximum number of rows of a page.
    """
    last = 0
    while True:
        page = query.where(key > last).order_by(key).limit(size)
        rows = read(engine, partial(_rows, query=page))
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _rows(connection: Connection, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    return connection.execute(query).all()


def among(connection: Connection, column: Any, ids: Collection[int]) -> ColumnElement[bool]:
    """Return the condition that a column is one of many ids, which are one parameter.

    A parameter for each takes longer than the query: half of the processor time of an export.
    """
    condition: ColumnElement[bool]
    if connection.dialect.name == "postgresql":
        condition = column == any_(literal(list(ids), ARRAY(BigInteger)))
    else:
        condition = column.in_(select(func.json_each(json.dumps(list(ids))).table_valued("value").c.value))
    return condition


def distinct_values(connection: Connection, column: Any) -> list[str]:
    """Return the values of a text column, each looked up in its index after the one before, in alphabetical order."""
    values: list[str] = []
    while value := connection.scalar(select(func.min(column)).where(column > (values or [""])[-1])):
        values.append(value)
    return values


def _repeat(engine: Engine, attempt: Callable[[], Result], on_wait: Callable[[CatalogueError], object]) -> Result:
    deadline = time.monotonic() + engine.get_execution_options()["retry_s"]
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return attempt()
        except CatalogueError as error:
            if not error.temporary or time.monotonic() + pause_s > deadline:
                raise
            on_wait(error)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _MAX_PAUSE_S)


def _parse_url(text: URL | str) -> URL:
    """Return the URL of a catalogue.

    Raises:
        UsageError: It is not a URL, or that of another database or driver.
    """
    try:
        url = make_url(text)
        is_known = url.get_driver_name() == _DRIVERS.get(url.get_backend_name())
    except (ArgumentError, NoSuchModuleError, ValueError):
        is_known = False
    if not is_known:
        raise UsageError(
            "Invalid catalogue URL; use sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE."
        )
    return url


def _read_only_if_necessary(url: URL) -> URL:
    """Return a URL by which SQLite reads a catalogue that it may not write.

    Without a write-ahead log it must be opened as ``immutable``, because SQLite cannot create its lock files.
    """
    if url.get_backend_name() != "sqlite" or not url.database:
        return url
    database = Path(url.database)
    if not database.is_file() or (os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)):
        return url
    mode = {"mode": "ro", "uri": "true"}
    if not Path(f"{database}-wal").exists():
        mode["immutable"] = "1"
    return url.set(database=f"file:{quote(str(database.resolve()))}", query={**url.query, **mode})


def add_name_key(connection: Any, _record: object) -> None:
    """Define the function ``name_key`` for a new connection of SQLite; PostgreSQL's is defined by the migrations."""

    def key(text: object) -> str | None:
        return None if text is None else name_key(str(text))

    connection.create_function("name_key", 1, key, deterministic=True)


def _to_json(value: object) -> str:
    """Return JSON with letters as they are, so that names in it can be compared; half surrogates cannot be stored."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _SURROGATE.search(text) else text


def _configure_sqlite(connection: object, _record: object) -> None:
    """Set the pragmas of a connection.

    A label of 100,000 photographs changes 20 MB: with SQLite's defaults the pages leave the cache before the end of the
    transaction, and are copied from the log to the database before the next request.
    """
    cursor = connection.cursor()  # type: ignore[attr-defined]
    pragmas = {
        "busy_timeout": _BUSY_TIMEOUT_MS, "journal_mode": "WAL", "synchronous": "NORMAL", "foreign_keys": "ON",
        "cache_size": -_CACHE_KB, "wal_autocheckpoint": _LOG_PAGES,
    }  # fmt: skip
    for name, value in pragmas.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _configure_postgresql(connection: object, _record: object) -> None:
    """Set what the planner assumes.

    Just-in-time compilation takes a second for each comparison of EXIF in a query. On solid-state disks a row that an
    index finds costs about as much as the next one of a table.
    """
    with connection.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("SET jit = off; SET random_page_cost = 1.1")
    connection.commit()  # type: ignore[attr-defined]
