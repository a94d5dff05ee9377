"""``lightmeter catalogue edit`` and ``remove``, and harvests after them."""

import pytest
from sqlalchemy import insert

from lightmeter.harvest.catalogue.database.session import open_engine, transaction
from lightmeter.harvest.catalogue.ingest import save_items
from lightmeter.harvest.catalogue.items import FetchOutcome, RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import HarvestRun, SightingState
from lightmeter.harvest.catalogue.outcomes import save_outcomes
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect
from lightmeter.harvest.ingest_task import IngestedPhoto
from lightmeter.harvest.sources.base import Sighting
from lightmeter.project import Project
from tests.support import jpeg, run_error, run_json


def test_removed_photograph_leaves_nothing_and_stays_away(harvested: Project) -> None:
    shown = run_json("catalogue", "show", "0.jpg")
    sha256, sighting = shown["image"]["sha256"], shown["sightings"][0]
    thumbnail = harvested.state / "thumbnails" / f"{sha256}.jpg"
    crop = harvested.root / "crops" / f"{sha256[:16]}-1.png"
    for file in (thumbnail, crop):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    run_json("catalogue", "edit", "--where", "file = 0.jpg", "owner=Ansel Nobody")
    removed = run_json("catalogue", "remove", "--sha256", sha256.upper(), "--yes")
    assert (removed["photographs"], removed["files"], removed["datasets"]) == (1, 3, {})
    assert not any(file.exists() for file in (thumbnail, crop, harvested.store.path(sha256)))
    files = list(harvested.root.glob("catalogue.sqlite*"))
    assert not any(b"Ansel Nobody" in file.read_bytes() for file in files)
    assert "No photograph" in run_error("catalogue", "show", "0.jpg")

    engine = open_engine(harvested)
    context = SourceContext("folder", frozenset({"file"}))
    again = [
        Sighting(source_id=sighting["source_id"], media_url=sighting["media_url"]),
        Sighting(source_id="other name", media_url=sighting["media_url"]),
        Sighting(source_id="copy", media_url="file:///copy.jpg"),
    ]
    with transaction(engine) as connection:
        run = connection.execute(insert(HarvestRun).values(source="folder", query={}, options={})).inserted_primary_key
        assert run is not None
        requests = save_items(connection, run[0], context, again, RunOptions(), None).requests
        photo = IngestedPhoto(sha256, 1, inspect(jpeg(0), InspectionPlan()))
        saved = save_outcomes(connection, [FetchOutcome(requests[0], SightingState.FETCHED, None, photo)], "salt")
    engine.dispose()
    assert len(requests) == 1
    assert saved.discard == [sha256]
    assert run_json("harvest", "status")["total"]["refused"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["remove", "--where", "iso > 0"], "confirm with --yes"),
        (["remove"], "Select the photographs"),
        (["remove", "--sha256", "abc", "--yes"], "not a SHA-256"),
        (["edit", "owner=x"], "Select the photographs"),
    ],
)
def test_unclear_edits_and_removals_are_refused(harvested: Project, arguments: list[str], message: str) -> None:
    before = run_json("catalogue", "info")["rows"]
    assert message in run_error("catalogue", *arguments)
    assert run_json("catalogue", "info")["rows"] == before
    assert len([path for path in harvested.store.root.rglob("*") if path.is_file()]) == 7
