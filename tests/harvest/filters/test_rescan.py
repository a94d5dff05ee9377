"""``harvest inspect``: what is missing is decoded, the rest is judged by the settings of the day."""

from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import Inspection
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.project import SETTINGS_FILE, Project
from tests.support import Lightmeter, create_project, run_json


def test_nothing_is_decoded_where_all_is_known(harvested: Project) -> None:
    assert run_json("harvest", "inspect") == {"photographs": 6, "decoded": 0, "changed": 0, "failed": {}}


def test_missing_and_outdated_findings_are_made_again(harvested: Project) -> None:
    engine = open_engine(harvested)
    with engine.begin() as connection:
        before = set(connection.execute(select(Inspection.image_id, Inspection.filter)))
        connection.execute(delete(Inspection).where(Inspection.filter == "borders"))
        connection.execute(update(Inspection).where(Inspection.image_id == 1).values(version=0))
    assert run_json("harvest", "inspect", "--filter", "borders")["decoded"] == 6
    assert run_json("harvest", "inspect")["decoded"] == 1
    with engine.connect() as connection:
        assert set(connection.execute(select(Inspection.image_id, Inspection.filter))) == before
        assert 0 not in connection.scalars(select(Inspection.version)).all()


def test_filters_that_fetching_does_not_wait_for_are_done_later(
    photographs: Path, tmp_path: Path, lightmeter: Lightmeter
) -> None:
    project = create_project(tmp_path / "project")
    with (project.root / SETTINGS_FILE).open("a") as file:
        file.write('\n[inspect]\ndeferred = ["faces"]\n')
    lightmeter("harvest", "run", "folder", photographs, "--project", project.root)
    with open_engine(project).connect() as connection:
        assert set(connection.scalars(select(Inspection.filter))) == {"borders", "duplicates", "monochrome", "quality"}
    assert lightmeter("harvest", "inspect", "--project", project.root)["decoded"] == 6
    with open_engine(project).connect() as connection:
        assert "faces" in connection.scalars(select(Inspection.filter)).all()


def test_a_filter_put_off_must_exist(photographs: Path, harvested: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTMETER_INSPECT__DEFERRED", '["face"]')
    assert main(["harvest", "run", "folder", str(photographs)]) == 2


def test_new_thresholds_need_no_decode(harvested: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTMETER_FILTERS", '{"quality": {"max_noise": 0.001}}')
    assert run_json("harvest", "inspect") == {"photographs": 6, "decoded": 0, "changed": 6, "failed": {}}
    with open_engine(harvested).connect() as connection:
        reasons = connection.scalars(select(Inspection.reason).where(Inspection.filter == "quality")).all()
    assert set(reasons) == {"noisy"}


def test_a_photograph_that_is_gone_from_the_store_is_counted(harvested: Project) -> None:
    with open_engine(harvested).begin() as connection:
        connection.execute(delete(Inspection))
    next(path for path in harvested.store.rglob("*") if path.is_file()).unlink()
    done = run_json("harvest", "inspect")
    assert sum(done["failed"].values()) in (0, 1)
    assert done["decoded"] + sum(done["failed"].values()) == 6
