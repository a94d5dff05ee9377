"""``lightmeter harvest`` and ``lightmeter catalogue``: documents, tables and errors."""

from pathlib import Path

import pytest
from sqlalchemy import update

from lightmeter.harvest.catalogue.database.migrate import head
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import SightingRecord, SightingState
from lightmeter.project import Project
from tests.support import run_error, run_json, run_text


def test_status_counts_states_and_reasons(harvested: Project) -> None:
    document = run_json("harvest", "status")
    assert document["total"]["found"] == document["runs"][0]["found"]
    assert document["total"]["fetched"] == 6
    assert {(row["state"], row["reason"]) for row in document["total"]["reasons"]} >= {("failed", "truncated")}
    table = run_text("harvest", "status")
    assert "fetched" in table
    assert "refused" not in table  # no photograph is in that state


def test_info_counts_rows_of_each_table(harvested: Project) -> None:
    document = run_json("catalogue", "info")
    assert document["revision"] == head()
    assert document["rows"]["runs"] == 1
    assert document["rows"]["images"] == 7
    assert "sightings" in run_text("catalogue", "info")


def test_upgrade_of_current_catalogue_changes_nothing(project: Path) -> None:
    assert run_json("catalogue", "upgrade") == {"before": head(), "revision": head(), "copy": None}
    assert "already has the current revision" in run_text("catalogue", "upgrade")


def test_show_prints_tables(harvested: Project) -> None:
    text = run_text("catalogue", "show", "0.jpg")
    assert "f/2.8" in text
    assert "Sightings" in text
    assert "Labels" not in text  # there are none


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("harvest", "resume"), "no unfinished run"),
        (("harvest", "resume", "7"), "no run 7"),
        (("harvest", "retry"), "No failed photographs to retry"),
        (("harvest", "run", "folder", ".", "--require", "f_numbr"), "did you mean f_number?"),
        (("harvest", "inspect", "--where", "isso = 1"), "did you mean iso"),
        (("catalogue", "export", "--where", "iso <"), "expected a value"),
    ],
)
def test_usage_errors_name_the_problem(project: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in run_json(*arguments, code=2)["error"]


def test_retry_reason_without_match_leaves_failures(harvested: Project) -> None:
    assert "No failed photographs" in run_error("harvest", "retry", "--reason", "HTTP 503")
    assert run_json("harvest", "status")["total"]["failed"] > 0


def test_missing_duplicates_are_reported(harvested: Project) -> None:
    assert run_json("harvest", "duplicates", "--radius", "0") == []
    assert "No near-duplicate photographs" in run_text("harvest", "duplicates", "--radius", "0")


def test_pending_photographs_are_counted(harvested: Project) -> None:
    with open_engine(harvested).begin() as connection:
        connection.execute(update(SightingRecord).where(SightingRecord.id == 1).values(state=SightingState.FOUND))
    assert run_json("harvest", "status")["total"]["pending"] == 1
