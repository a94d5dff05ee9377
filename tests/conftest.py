"""Fixtures of all tests: test material, projects, commands, servers and a browser."""

import functools
import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx._transports.default
import hypothesis
import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # pytest-xdist uses all cores already; set before torch is imported

from tests.postgresql import PostgresServer, find_programs
from tests.support import ALL_MODULES, CommandRunner, Site, copy_empty_catalogue, create_project, migrate

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.s3 import S3Server

gc.disable()  # until all tests are collected
os.fsync = lambda _: None  # what tests write need not survive a power failure
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)  # 0.05 s for each client

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / "shared"
STRICT = bool(os.environ.get("LIGHTMETER_TEST_STRICT"))

hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=STRICT,  # before a merge the same examples each time; new ones wherever else the tests run
    max_examples=25,
)
hypothesis.settings.register_profile("long", hypothesis.settings.get_profile("any machine"), max_examples=200)
hypothesis.settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", type=float, default=0, help="share of the long form of the trials in tests/faults: 1")
    parser.addoption("--comparisons", action="store_true", help="write the table of tests/reference to the document")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        hypothesis.settings.load_profile("long")


def skip_without(requirement: str) -> None:
    """Skip a test because a program is not installed, or fail if LIGHTMETER_TEST_STRICT is set."""
    message = f"{requirement} is not installed"
    if STRICT:
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real photographs, broken files and recorded responses, in the folder ``shared`` next to the checkout."""
    if not (SHARED / "photos" / "truth.csv").is_file():
        pytest.skip(
            "the test material (real photographs, broken files) is not in the folder shared next to the checkout"
        )
    return SHARED


@pytest.fixture(autouse=True)
def _closed_logs() -> Iterator[None]:
    """Close the log files that commands opened in this process."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]:
        if handler.baseFilename != os.devnull:
            root.removeHandler(handler)
            handler.close()


@pytest.fixture(autouse=True)
def _plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw plots in tests with the marker ``plots`` alone."""
    if request.node.get_closest_marker("plots"):
        from tests.plots import draw_plots

        draw_plots(monkeypatch)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project as working directory."""
    root = create_project(tmp_path / "project").root
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def site() -> Iterator[Site]:
    """A website on loopback."""
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="session")
def lightmeter() -> Iterator[CommandRunner]:
    """The ``lightmeter`` command; each call starts a process."""
    runner = CommandRunner()
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def all_commands() -> Iterator[CommandRunner]:
    """As `lightmeter`, with the modules of all commands, also those that import torch; plots are empty."""
    runner = CommandRunner("tests.empty_plots", *ALL_MODULES)
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def browser() -> Iterator["Chrome"]:
    """A headless Chromium (see `tests.browser`)."""
    from tests import browser

    if None in browser.find_programs():
        skip_without("Chromium with its driver")
    with browser.open_browser() as chrome:
        yield chrome


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A temporary PostgreSQL server; yields its URL with a placeholder for the database name."""
    if find_programs() is None:
        skip_without("PostgreSQL")
    server = PostgresServer(f"lm-pg-{os.getpid()}")
    yield server.url
    server.remove()


@pytest.fixture(scope="session")
def s3_server() -> Iterator["S3Server"]:
    """Object storage on loopback."""
    from tests.s3 import S3Server

    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3_url(s3_server: "S3Server", request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Store URL of an empty bucket; the environment has what clients need."""
    from lightmeter.store import objects

    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"b{abs(hash(request.node.nodeid)) % 10**12}"
    objects._file_system("s3", os.getpid()).mkdir(bucket)
    return f"s3://{bucket}/photographs"


_EMPTY_CATALOGUE = """DO $$ BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(tablename, ', ') || ' RESTART IDENTITY CASCADE'
        FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version');
END $$"""  # in a fifth of the time of a new database


@pytest.fixture(scope="session")
def postgres_catalogue(postgres: str) -> str:
    """URL of a PostgreSQL catalogue of the newest revision, which `migrated_url` empties for each test."""
    _execute(postgres, "CREATE DATABASE emptied_catalogue")
    url = postgres.format(name="emptied_catalogue")
    migrate(url)
    return url


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    server = request.getfixturevalue("postgres")
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    _execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
    yield server.format(name=name)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty SQLite database, then of an empty PostgreSQL database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
    else:
        yield request.getfixturevalue("postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty catalogue of the newest revision on SQLite, then on PostgreSQL."""
    if request.param == "sqlite":
        copy_empty_catalogue(tmp_path / "catalogue.sqlite")
        yield f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
    else:
        url = request.getfixturevalue("postgres_catalogue")
        _execute(url, _EMPTY_CATALOGUE)
        yield url


def _execute(server: str, *statements: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


FIRST = ("serve", "lightmeter/test_demo.py", "examples", "lightmeter", "labels", "models", "harvest/crawl")
"""Folders and files with the longest tests: these start first, so that all processes end at the same time."""


SHARING = {"tests/serve/": "serve"} | dict.fromkeys(
    (
        "tests/examples/",
        "tests/faults/",
        "tests/journeys/",
        "tests/lightmeter/test_demo.py",
        "tests/models/training/test_packs.py",
        "tests/models/training/test_search.py",
        "tests/models/training/test_trainer.py",
    ),
    "all commands",
)
"""By folder or file, the name of a scope whose tests share what takes long to make: a TorchServe, or `all_commands`."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of a file in one process, in the order of `FIRST`.

    Tests of some folders share a process (see `SHARING`); the long form of the trials is spread over all processes.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if config.getoption("--long"):
                return nodeid
            shared = next((scope for start, scope in SHARING.items() if nodeid.startswith(start)), None)
            return shared or super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of the garbage collector, and draw no plots (see `tests.plots`)."""
    from tests.plots import replace_plots

    replace_plots()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the longest tests first, and leave those of the long form out."""
    if not config.getoption("--long"):
        items[:] = [item for item in items if not item.get_closest_marker("long")]

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(TESTS)
        return next((rank for rank, start in enumerate(FIRST) if path.is_relative_to(start)), len(FIRST))

    items.sort(key=rank)
