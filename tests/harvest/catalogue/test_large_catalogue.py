"""No command reads a large table of a PostgreSQL catalogue from beginning to end in one statement."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for
from lightmeter.labels.browser.library import Library
from lightmeter.labels.browser.views import State
from lightmeter.labels.datasets.collect import collect
from lightmeter.labels.targets.registry import get_target
from tests.support import create_project, run_command

catalogue = pytest.importorskip("benchmarks.scale.catalogue")

_LARGE = {"images", "sightings", "exif", "inspections", "labels"}
_SHA256 = "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"  # of the second photograph
_RANGES = (
    "harvest.catalogue.export.rows._COUNTED",
    "labels.annotations.photo_facts.BATCH",
    "labels.browser.facts._RANGE",
    "labels.browser.label_columns._RANGE",
)
"""Numbers of ids that are read at once; they are to be as small beside this catalogue as they are beside a large one."""

_WHERE = ("--where", "exposure = 1/100 and make = canon")
_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("harvest", "status"),
    ("harvest", "inspect"),
    ("catalogue", "list", "--limit", "5"),
    ("catalogue", "list", "--where", "f:2.8-4 -iso:100 and not owner ~ x", "--limit", "5"),
    ("catalogue", "list", "--where", f"sha256 = {_SHA256.upper()}"),
    ("catalogue", "list", "--where", "owner = 'OWNER  7'"),
    ("catalogue", "stats", "--by", "camera", *_WHERE),
    ("catalogue", "export", "some.csv", *_WHERE, "--columns", "file,iso,label.iso"),
    ("catalogue", "show", _SHA256),
    ("catalogue", "show", "7.jpg"),
    ("catalogue", "edit", "--where", f"sha256 = {_SHA256}", "owner=Ann"),
    ("labels", "apply", "aperture", *_WHERE),
    ("labels", "set", "medium=film", _SHA256),
    ("labels", "show", _SHA256),
    ("labels", "stats", "iso", *_WHERE),
    ("labels", "export", "labels.csv", "--target", "medium", *_WHERE),
    ("store", "gc"),
    ("catalogue", "remove", "--sha256", _SHA256, "--yes"),
)


@pytest.fixture(scope="module")
def url(postgres: str) -> Iterator[str]:
    """URL of a catalogue of 8,000 photographs."""
    admin = create_engine(postgres.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE large"))
    engine = engine_for(postgres.format(name="large"))
    upgrade(engine)
    catalogue.fill(engine, 8_000)
    engine.dispose()
    yield postgres.format(name="large")
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE large WITH (FORCE)"))
    admin.dispose()


def test_commands_use_indexes(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTMETER_CATALOGUE__URL", url)
    project = create_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    for name in _RANGES:
        monkeypatch.setattr(f"lightmeter.{name}", 500)
    scans: list[str] = []
    explained: set[str] = set()
    engines: set[Engine] = set()

    def explain(connection: Connection, cursor: Any, statement: str, parameters: Any, _: object, many: bool) -> None:
        if connection.dialect.name != "postgresql":  # values in memory
            return
        engines.add(connection.engine)
        if many or statement in explained or not statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            return
        explained.add(statement)
        with cursor.connection.cursor() as other:
            other.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            plan = other.fetchone()[0][0]["Plan"]
        tables = {node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"}
        scans.extend(f"{table}: {statement}" for table in sorted(tables & _LARGE))

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        for command in _COMMANDS:
            result = run_command(*command)
            assert result.code == ("inspect" in command), result.error  # the photographs have no files
            assert scans == [], command
        engine = engine_for(url)
        engines.add(engine)
        with engine.connect() as connection:
            assert len(collect(connection, [get_target("iso")])) > 7_000  # of labels split
        library = Library(project, engine, "ann")
        assert len(library.open_view(State(q="iso:100-400", target="iso"))[1].rows) > 3_000
        assert scans == []
    finally:
        event.remove(Engine, "before_cursor_execute", explain)
        for engine in engines:
            engine.dispose()
    assert len(explained) > len(_COMMANDS)
    assert Path("some.csv").stat().st_size > 100


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
