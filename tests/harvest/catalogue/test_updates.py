"""Known photographs that a source lists again: metadata, changed files, other options, edits and removals."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, Row, insert, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.changes.edits import edit, parse_changes
from lightmeter.harvest.catalogue.database.session import transaction
from lightmeter.harvest.catalogue.ingest import request_items, save_items
from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, RunState, SightingRecord, SightingState
from lightmeter.harvest.catalogue.outcomes import save_outcomes
from lightmeter.harvest.catalogue.statistics import run_counts
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect
from lightmeter.harvest.ingest_task import IngestedPhoto
from lightmeter.harvest.sources.base import Sighting
from tests.support import jpeg

CONTEXT = SourceContext("site", frozenset({"https"}))
INSPECTED = inspect(jpeg(1), InspectionPlan())

Harvest = Callable[..., list[RequestItem]]


@pytest.fixture
def harvest(engine: Engine) -> Harvest:
    """Save one item in a run of its own and return the requests."""

    def save(options: RunOptions | None = None, **fields: Any) -> list[RequestItem]:
        row = {"source": "x", "query": {}, "options": {}, "state": RunState.STOPPED}
        item = Sighting(source_id="a", **{"media_url": "https://example.org/a.jpg", **fields})
        with transaction(engine) as connection:
            run = connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()
            return save_items(connection, run, CONTEXT, [item], options or RunOptions(), None).requests

    return save


def _finish(
    engine: Engine, request: RequestItem, seed: int | None, state: SightingState = SightingState.FETCHED
) -> None:
    photo = None if seed is None else IngestedPhoto(f"{seed:064x}", 1000, INSPECTED)
    outcome = FetchOutcome(request, state, None if state == SightingState.FETCHED else "HTTP 503", photo)
    with transaction(engine) as connection:
        save_outcomes(connection, [outcome], "salt")


def _sighting(engine: Engine) -> Row[Any]:
    with engine.connect() as connection:
        query = select(SightingRecord.__table__, Image.sha256).outerjoin(Image, Image.id == SightingRecord.image_id)
        return connection.execute(query).one()


def test_metadata_follow_the_source(engine: Engine, harvest: Harvest) -> None:
    (request,) = harvest(owner="ann", title="Fog", tags=("sea",), exif={"FNumber": "f/4"})
    _finish(engine, request, 1)
    assert harvest(owner="ann", title="Fog", tags=("sea",), exif={"FNumber": "f/4"}) == []
    assert run_counts(engine)["total"]["updated"] == 0
    assert harvest(owner="bob", licence="CC BY 4.0", medium="film", tags=("sea", "fog"), exif={"FNumber": "f/8"}) == []
    row = _sighting(engine)
    assert (row.owner, row.licence, row.medium, row.tags) == ("bob", "CC-BY-4.0", "film", ["sea", "fog"])
    assert row.title == "Fog"  # which the source no longer provides
    assert [run["updated"] for run in run_counts(engine)["runs"]] == [0, 0, 1]
    with engine.connect() as connection:
        assert connection.scalars(select(Exif.f_number).where(Exif.sighting_id == row.id)).all() == [8.0]


def test_changed_file_becomes_a_new_image(engine: Engine, harvest: Harvest) -> None:
    _finish(engine, *harvest(file_version="1"), 1)
    assert harvest(file_version="1") == []
    _finish(engine, *harvest(file_version="2"), 2)
    assert _sighting(engine).sha256 == f"{2:064x}"
    assert run_counts(engine)["total"]["updated"] == 1
    with engine.connect() as connection:
        assert len(connection.scalars(select(Image.id)).all()) == 2


def test_failed_refresh_keeps_the_image_and_is_repeated(engine: Engine, harvest: Harvest) -> None:
    _finish(engine, *harvest(file_version="1"), 1)
    _finish(engine, *harvest(file_version="2"), None, SightingState.FAILED)
    row = _sighting(engine)
    assert (row.state, row.reason, row.sha256) == (SightingState.FETCHED, "not refreshed: HTTP 503", f"{1:064x}")
    _finish(engine, *harvest(file_version="2"), 1)  # the file is the same after all
    assert (_sighting(engine).reason, run_counts(engine)["total"]["updated"]) == (None, 0)


def test_refresh_downloads_known_photographs_again(engine: Engine, harvest: Harvest) -> None:
    _finish(engine, *harvest(), 1)
    assert harvest() == []
    assert len(harvest(RunOptions(refresh=True))) == 1


@pytest.mark.parametrize(
    "options", [RunOptions(metadata_only=True), RunOptions(licences=("CC0-1.0",)), RunOptions(require=("iso",))]
)
def test_photograph_excluded_by_options_is_downloaded_without_them(harvest: Harvest, options: RunOptions) -> None:
    fields = {"exif": {"FNumber": "f/4"}}
    assert harvest(options, **fields) == []
    assert len(harvest(**fields)) == 1


def test_late_outcome_of_another_process_changes_nothing(engine: Engine, harvest: Harvest) -> None:
    (request,) = harvest()
    _finish(engine, request, 1)
    _finish(engine, request, None, SightingState.FAILED)
    assert (_sighting(engine).state, _sighting(engine).attempts) == (SightingState.FETCHED, 1)


def test_edit_outlasts_later_harvests(engine: Engine, harvest: Harvest) -> None:
    _finish(engine, *harvest(owner="ann", licence="CC0"), 1)
    assert edit(engine, Image.format == "JPEG", parse_changes(["owner=bob", "licence="])) == 1
    harvest(owner="ann", licence="CC-BY-4.0", title="Fog")
    row = _sighting(engine)
    assert (row.owner, row.licence, row.title) == ("bob", None, "Fog")


@pytest.mark.parametrize(
    ("change", "message"),
    [("owner", "write NAME=VALUE"), ("ownr=x", "did you mean owner"), ("medium=tape", "not a medium")],
)
def test_invalid_change_is_refused(change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_changes([change])


def test_required_exif_of_the_source_survives_a_resumed_run(engine: Engine, harvest: Harvest) -> None:
    require = ("f_number", "iso")
    (request,) = harvest(RunOptions(require=require), exif={"FNumber": "f/4"}, exif_origin="sidecar")
    assert request.required == ("iso",)
    with engine.connect() as connection:
        assert request_items(connection, [request.sighting_id], require) == [request]


def test_concept_of_the_first_search_is_kept(engine: Engine, harvest: Harvest) -> None:
    harvest()
    harvest(concepts=("dog",))
    harvest(concepts=("animal",))
    assert _sighting(engine).concepts == ["dog"]
