"""The catalogue on SQLite and PostgreSQL: migrations, batched writes and counts."""

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, inspect, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database import session
from lightmeter.harvest.catalogue.database.database_errors import CatalogueError
from lightmeter.harvest.catalogue.database.migrate import head, revision_of, upgrade
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.ingest import save_items
from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import Base, Exif, HarvestRun, Image, SightingRecord, SightingState
from lightmeter.harvest.catalogue.outcomes import save_outcomes
from lightmeter.harvest.catalogue.statistics import run_counts
from lightmeter.harvest.filters.pipeline import InspectionPlan
from lightmeter.harvest.filters.pipeline import inspect as inspect_image
from lightmeter.harvest.ingest_task import IngestedPhoto
from lightmeter.harvest.sources.base import Sighting, Unreadable
from lightmeter.project import Project
from tests.support import jpeg

CONTEXT = SourceContext("site", frozenset({"https"}))


@pytest.fixture
def run(engine: Engine) -> int:
    """Id of a new run."""
    return _new_run(engine)


def _new_run(engine: Engine) -> int:
    with engine.begin() as connection:
        row = {"source": "folder", "query": {}, "options": {"require": []}}
        return connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()


def _items(*names: str, **fields: object) -> list[Sighting]:
    return [Sighting(source_id=name, media_url=f"https://example.org/{name}", **fields) for name in names]  # type: ignore[arg-type]


def _save(engine: Engine, run: int, items: list[Sighting], options: RunOptions | None = None) -> list[RequestItem]:
    with engine.begin() as connection:
        return save_items(connection, run, CONTEXT, items, options or RunOptions(), {"page": 1}).requests


def _photo(seed: int) -> IngestedPhoto:
    data = jpeg(seed)
    return IngestedPhoto(f"{seed:064x}", len(data), inspect_image(data, InspectionPlan()))


@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_migrations_match_models(engine: Engine) -> None:
    def is_created(item: Any, *_: object) -> bool:
        """Leave out indexes of the other database."""
        return getattr(item, "_ddl_if", None) is None or item._ddl_if.dialect == engine.dialect.name

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_created})
        assert compare_metadata(context, Base.metadata) == []
    assert revision_of(engine) == head()
    assert "sightings" in inspect(engine).get_table_names()


def test_second_upgrade_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    assert revision_of(engine) == head()


def test_items_become_requests_and_then_photos(engine: Engine, run: int) -> None:
    requests = _save(engine, run, _items("a", "b", "c"))
    outcomes = [
        FetchOutcome(requests[0], SightingState.FETCHED, None, _photo(1)),
        FetchOutcome(requests[1], SightingState.FETCHED, None, _photo(1)),
        FetchOutcome(requests[2], SightingState.GONE, "HTTP 404"),
    ]
    with engine.begin() as connection:
        save_outcomes(connection, outcomes, "salt")
    counts = run_counts(engine)
    assert counts["runs"][0]["found"] == 3
    assert {s: n for s, n in counts["total"].items() if n and s != "reasons"} == {"found": 3, "fetched": 2, "gone": 1}
    with engine.connect() as connection:
        assert len(connection.execute(select(Image.id)).all()) == 1  # two sightings of the same bytes
        assert connection.execute(select(Exif.f_number, Exif.origin)).all() == [(2.8, "file")]
        assert connection.scalar(select(HarvestRun.cursor)) == {"page": 1}


def test_existing_sighting_is_not_requested_again(engine: Engine, run: int) -> None:
    requests = _save(engine, run, _items("a"))
    with engine.begin() as connection:
        save_outcomes(connection, [FetchOutcome(requests[0], SightingState.FAILED, "timeout")], "salt")
    assert _save(engine, _new_run(engine), _items("a")) == []
    assert run_counts(engine)["total"]["existing"] == 1


def test_pending_sighting_of_earlier_run_is_adopted(engine: Engine, run: int) -> None:
    first = _save(engine, run, _items("a"))
    assert _save(engine, _new_run(engine), _items("a")) == first


def test_item_that_is_listed_again_is_requested_once_and_counted(engine: Engine, run: int) -> None:
    first = Sighting(source_id="a", media_url="https://example.org/a", title="first")
    second = Sighting(source_id="a", media_url="https://example.org/b", title="second")
    assert len(_save(engine, run, [first, second])) == 1
    assert _save(engine, run, [second]) == []
    assert run_counts(engine)["total"]["existing"] == 2
    with engine.connect() as connection:
        assert connection.scalars(select(SightingRecord.title)).all() == ["first"]


def test_what_is_unreadable_is_counted_once_per_run(engine: Engine, run: int) -> None:
    unreadable: list[Any] = [Unreadable("/locked\udce9\0", "no\npermission"), "not a sighting", Sighting(source_id="")]
    for _ in range(2):
        _save(engine, run, unreadable)
    total = run_counts(engine)["total"]
    assert (total["found"], total["unreadable"]) == (0, 3)
    assert total["unreadable_records"][0]["reason"] == "no permission"


def test_same_url_of_another_source_is_not_downloaded(engine: Engine, run: int) -> None:
    requests = _save(engine, run, _items("a"))
    with engine.begin() as connection:
        save_outcomes(connection, [FetchOutcome(requests[0], SightingState.FETCHED, None, _photo(2))], "salt")
        saved = save_items(connection, run, SourceContext("other", CONTEXT.schemes), _items("a"), RunOptions(), None)
    assert saved.requests == []
    assert saved.states == [SightingState.FETCHED]


@pytest.mark.parametrize(
    ("options", "state", "reason"),
    [
        (RunOptions(licences=("CC0-1.0",)), SightingState.REFUSED, "licence: CC-BY-NC-4.0"),
        (RunOptions(metadata_only=True), SightingState.SKIPPED, "metadata only"),
        (RunOptions(require=("iso",)), SightingState.SKIPPED, "required EXIF missing: iso"),
    ],
)
def test_initial_state_is_decided_before_download(
    engine: Engine, run: int, options: RunOptions, state: SightingState, reason: str
) -> None:
    assert _save(engine, run, _items("a", licence="CC-BY-NC-4.0", exif={"FNumber": "f/4"}), options) == []
    with engine.connect() as connection:
        assert connection.execute(select(SightingRecord.state, SightingRecord.reason)).one() == (state, reason)


def test_serial_numbers_become_salted_hashes(engine: Engine, run: int) -> None:
    serial = "SN-4711-0815"
    data = jpeg(5, settings={0xA431: serial})
    photograph = IngestedPhoto("5" * 64, len(data), inspect_image(data, InspectionPlan()))
    requests = _save(engine, run, _items("a"))
    with engine.begin() as connection:
        save_outcomes(connection, [FetchOutcome(requests[0], SightingState.FETCHED, None, photograph)], "salt")
    with engine.connect() as connection:
        body = connection.scalar(select(Image.body))
        raw = connection.scalar(select(Exif.raw))
    assert body is not None
    assert len(body) == 64
    assert serial not in str(raw)


def test_server_that_restarts_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    (tmp_path / "lightmeter.toml").write_text(f"[catalogue]\nurl = '{url}'\nretry_s = 0.1\n")
    with pytest.raises(CatalogueError, match="Cannot reach the catalogue"):
        open_engine(Project(tmp_path))
    restarts = iter([CatalogueError("restarts", temporary=True), CatalogueError("no such database")])

    def refuse(_: Engine) -> str:
        raise next(restarts)

    monkeypatch.setattr(session, "revision_of", refuse)
    with pytest.raises(CatalogueError, match="no such database"):
        open_engine(Project(tmp_path))


def test_old_catalogue_error_names_upgrade_command(tmp_path: Path) -> None:
    (tmp_path / "lightmeter.toml").write_text("")
    with pytest.raises(UsageError, match="lightmeter catalogue upgrade"):
        open_engine(Project(tmp_path))
