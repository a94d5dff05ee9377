"""The catalogue on SQLite and PostgreSQL: revisions, batched writes, counts that add up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, inspect, select

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.catalogue.ingest import save_items, save_outcomes
from lightmeter.harvest.catalogue.items import FetchOutcome, IngestedPhoto, RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.migrate import head, revision_of, upgrade
from lightmeter.harvest.catalogue.models import Base, Exif, HarvestRun, Image, Sighting, SightingState
from lightmeter.harvest.catalogue.session import engine_for, open_engine
from lightmeter.harvest.catalogue.statistics import run_counts
from lightmeter.harvest.filters import InspectionPlan
from lightmeter.harvest.filters import inspect as look_at
from lightmeter.harvest.sources import PhotoItem as Seen
from lightmeter.project import Project
from tests.support import jpeg

ORIGIN = SourceContext("site", frozenset({"https"}))


@pytest.fixture
def engine(catalogue_url: str) -> Iterator[Engine]:
    """An empty catalogue at the newest revision."""
    engine = engine_for(catalogue_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def run(engine: Engine) -> int:
    """A run to write into."""
    return _new_run(engine)


def _new_run(engine: Engine) -> int:
    with engine.begin() as connection:
        row = {"source": "folder", "query": {}, "options": {"require": []}}
        return connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()


def _seen(*names: str, **more: object) -> list[Seen]:
    return [Seen(source_id=name, media_url=f"https://example.org/{name}", **more) for name in names]  # type: ignore[arg-type]


def _register(engine: Engine, run: int, seen: list[Seen], options: RunOptions | None = None) -> list[RequestItem]:
    with engine.begin() as connection:
        return save_items(connection, run, ORIGIN, seen, options or RunOptions(), {"page": 1}).requests


def _photograph(seed: int) -> IngestedPhoto:
    data = jpeg(seed)
    return IngestedPhoto(f"{seed:064x}", len(data), look_at(data, InspectionPlan()))


def test_migrations_make_what_the_tables_say(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    assert revision_of(engine) == head()
    assert "sightings" in inspect(engine).get_table_names()


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    assert revision_of(engine) == head()


def test_sightings_become_jobs_and_then_photographs(engine: Engine, run: int) -> None:
    jobs = _register(engine, run, _seen("a", "b", "c"))
    outcomes = [
        FetchOutcome(jobs[0], SightingState.FETCHED, None, _photograph(1)),
        FetchOutcome(jobs[1], SightingState.FETCHED, None, _photograph(1)),
        FetchOutcome(jobs[2], SightingState.GONE, "HTTP 404"),
    ]
    with engine.begin() as connection:
        save_outcomes(connection, outcomes, "salt")
    counts = run_counts(engine)
    assert counts["runs"][0]["found"] == 3
    assert {s: n for s, n in counts["total"].items() if n and s != "reasons"} == {"found": 3, "fetched": 2, "gone": 1}
    with engine.connect() as connection:
        assert len(connection.execute(select(Image.id)).all()) == 1  # the same bytes, seen twice
        assert connection.execute(select(Exif.f_number, Exif.origin)).all() == [(2.8, "file")]
        assert connection.scalar(select(HarvestRun.cursor)) == {"page": 1}


def test_a_known_sighting_is_no_new_job(engine: Engine, run: int) -> None:
    jobs = _register(engine, run, _seen("a"))
    with engine.begin() as connection:
        save_outcomes(connection, [FetchOutcome(jobs[0], SightingState.FAILED, "timeout")], "salt")
    assert _register(engine, _new_run(engine), _seen("a")) == []
    assert run_counts(engine)["total"]["existing"] == 1


def test_a_sighting_that_another_run_left_waiting_is_taken_over(engine: Engine, run: int) -> None:
    first = _register(engine, run, _seen("a"))
    assert _register(engine, _new_run(engine), _seen("a")) == first


def test_a_sighting_met_twice_in_one_run_is_one_job(engine: Engine, run: int) -> None:
    _register(engine, run, _seen("a"))
    assert _register(engine, run, _seen("a")) == []
    assert run_counts(engine)["total"]["existing"] == 0


def test_the_same_url_is_not_fetched_for_another_source(engine: Engine, run: int) -> None:
    jobs = _register(engine, run, _seen("a"))
    with engine.begin() as connection:
        save_outcomes(connection, [FetchOutcome(jobs[0], SightingState.FETCHED, None, _photograph(2))], "salt")
        done = save_items(connection, run, SourceContext("elsewhere", ORIGIN.schemes), _seen("a"), RunOptions(), None)
    assert done.requests == []
    assert done.states == [SightingState.FETCHED]


@pytest.mark.parametrize(
    ("options", "state", "reason"),
    [
        (RunOptions(licences=("CC0-1.0",)), SightingState.REFUSED, "licence: CC-BY-NC-4.0"),
        (RunOptions(metadata_only=True), SightingState.SKIPPED, "metadata only"),
        (RunOptions(require=("iso",)), SightingState.SKIPPED, "required EXIF missing: iso"),
    ],
)
def test_what_can_be_decided_without_fetching(
    engine: Engine, run: int, options: RunOptions, state: SightingState, reason: str
) -> None:
    assert _register(engine, run, _seen("a", licence="CC-BY-NC-4.0", exif={"FNumber": "f/4"}), options) == []
    with engine.connect() as connection:
        assert connection.execute(select(Sighting.state, Sighting.reason)).one() == (state, reason)


def test_serial_numbers_become_salted_hashes(engine: Engine, run: int) -> None:
    serial = "SN-4711-0815"
    data = jpeg(5, settings={0xA431: serial})
    photograph = IngestedPhoto("5" * 64, len(data), look_at(data, InspectionPlan()))
    jobs = _register(engine, run, _seen("a"))
    with engine.begin() as connection:
        save_outcomes(connection, [FetchOutcome(jobs[0], SightingState.FETCHED, None, photograph)], "salt")
    with engine.connect() as connection:
        body = connection.scalar(select(Image.body))
        raw = connection.scalar(select(Exif.raw))
    assert body is not None
    assert len(body) == 64
    assert serial not in str(raw)


def test_a_catalogue_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "lightmeter.toml").write_text("[catalogue]\nurl = 'postgresql+psycopg://nobody@127.0.0.1:1/none'\n")
    with pytest.raises(LightmeterError, match="Cannot reach the catalogue"):
        open_engine(Project(tmp_path))


def test_an_old_catalogue_names_the_command_that_helps(tmp_path: Path) -> None:
    (tmp_path / "lightmeter.toml").write_text("")
    with pytest.raises(UsageError, match="lightmeter catalogue upgrade"):
        open_engine(Project(tmp_path))
