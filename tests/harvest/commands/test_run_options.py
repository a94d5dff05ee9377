"""``harvest run --simulate``, dates, exit codes, and ``harvest watch``."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from lightmeter.harvest.commands.watch import changes
from lightmeter.harvest.sources.base import DatedQuery
from tests.support import CommandRunner, jpeg, run_error, run_json

ROWS = ["media_url,published_at"] + [f"https://example.org/{year}.jpg,{year}-06-15" for year in range(2015, 2021)]


def test_simulation_lists_new_photographs_and_records_nothing(
    lightmeter: CommandRunner, project: Path, photographs: Path
) -> None:
    lightmeter("harvest", "run", "folder", photographs / "ansel", "--limit", 2)
    before = run_json("catalogue", "info")["rows"]
    document = lightmeter("harvest", "run", "folder", photographs, "--simulate")
    assert (document["found"], document["existing"], document["selected"]) == (9, 2, 7)
    assert {row["existing"] for row in document["photographs"]} == {True, False}
    assert run_json("catalogue", "info")["rows"] == before
    text = lightmeter.run("harvest", "run", "folder", photographs, "--simulate").output
    assert "7 photographs would be downloaded; 2 already in the catalogue." in text


def test_dates_select_photographs_by_publication(lightmeter: CommandRunner, project: Path) -> None:
    (project / "list.csv").write_text("\n".join([*ROWS, "https://example.org/undated.jpg,"]))
    simulate = ("harvest", "run", "urls", project / "list.csv", "--simulate")
    document = lightmeter(*simulate, "--since", "2017", "--until", "2018-06")
    assert [row["media_url"][-8:-4] for row in document["photographs"]] == ["2017", "2018"]
    assert "is not a date" in run_error("harvest", "run", "urls", project / "list.csv", "--since", "June")
    assert "later than" in run_error(
        "harvest", "run", "urls", project / "list.csv", "--since", "2019", "--until", "2018"
    )


@pytest.mark.parametrize(
    ("since", "until", "published", "included"),
    [
        (None, None, None, True),
        ("2019", None, None, False),
        ("2019", None, "2019-01-01T00:00:00Z", True),
        ("2019", None, "2018-12-31T23:59:59Z", False),
        (None, "2019-05", "2019-05-31T23:59:59+00:00", True),
        (None, "2019-05", "2019-06-01", False),
        ("2019-05-31", "2019-05-31", "2019-05-31T12:00:00", True),
    ],
)
def test_period_includes_its_ends(since: str | None, until: str | None, published: str | None, included: bool) -> None:
    assert DatedQuery(since=since, until=until).includes(published) == included


def test_harvest_in_which_nothing_succeeds_fails(lightmeter: CommandRunner, project: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("not an image")
    result = lightmeter.run("harvest", "run", "folder", tmp_path / "broken")
    assert result.code == 1
    assert "1 failed" in result.output
    assert "No photograph could be harvested" in result.error
    (tmp_path / "empty").mkdir()
    assert lightmeter("harvest", "run", "folder", tmp_path / "empty")["found"] == 0


def test_changes_are_reported_once_files_are_complete(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    events = changes(tmp_path, 0.01)
    next(events)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.jpg").write_bytes(b"2")
    next(events)
    (tmp_path / "a.jpg").unlink()
    next(events)


def test_watched_folder_is_harvested_until_ctrl_c(lightmeter: CommandRunner, project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(jpeg(0))
    command = lightmeter.command("harvest", "watch", folder, "--json", "--", "--medium", "film")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert "Watching" in process.stderr.readline()
        assert "1 fetched" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert [run["fetched"] for run in json.loads(output)["runs"]] == [1]
    assert "not a folder" in run_error("harvest", "watch", tmp_path / "missing")
