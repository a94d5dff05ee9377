"""``harvest inspect``."""

from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import Image, Inspection
from lightmeter.project import SETTINGS_FILE, Project
from tests.support import CommandRunner, create_project, run_error, run_json


def test_current_measures_are_not_decoded_again(harvested: Project) -> None:
    assert run_json("harvest", "inspect") == {"photographs": 6, "decoded": 0, "changed": 0, "failed": {}}


def test_missing_and_outdated_measures_are_decoded_again(harvested: Project) -> None:
    engine = open_engine(harvested)
    with engine.begin() as connection:
        before = set(connection.execute(select(Inspection.image_id, Inspection.filter)))
        connection.execute(delete(Inspection).where(Inspection.filter == "borders"))
        image_id = connection.scalar(select(func.min(Image.id)).where(Image.problem.is_(None)))
        connection.execute(update(Inspection).where(Inspection.image_id == image_id).values(version=0))
    assert run_json("harvest", "inspect", "--filter", "borders")["decoded"] == 6
    assert run_json("harvest", "inspect")["decoded"] == 1
    with engine.connect() as connection:
        assert set(connection.execute(select(Inspection.image_id, Inspection.filter))) == before
        assert 0 not in connection.scalars(select(Inspection.version)).all()


def test_later_filters_run_at_inspection(photographs: Path, tmp_path: Path, lightmeter: CommandRunner) -> None:
    project = create_project(tmp_path / "project")
    with (project.root / SETTINGS_FILE).open("a") as file:
        file.write('\n[inspect]\nlater = ["faces"]\n')
    lightmeter("harvest", "run", "folder", photographs, "--project", project.root)
    with open_engine(project).connect() as connection:
        assert set(connection.scalars(select(Inspection.filter))) == {"borders", "duplicates", "monochrome", "quality"}
    assert lightmeter("harvest", "inspect", "--project", project.root)["decoded"] == 6
    with open_engine(project).connect() as connection:
        assert "faces" in connection.scalars(select(Inspection.filter)).all()


def test_unknown_later_filter_raises_error(
    photographs: Path, harvested: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTMETER_INSPECT__LATER", '["face"]')
    assert "did you mean faces" in run_error("harvest", "run", "folder", photographs)


def test_new_thresholds_change_verdicts_without_decoding(harvested: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTMETER_FILTERS", '{"quality": {"max_noise": 0.001}}')
    assert run_json("harvest", "inspect") == {"photographs": 6, "decoded": 0, "changed": 6, "failed": {}}
    with open_engine(harvested).connect() as connection:
        reasons = connection.scalars(select(Inspection.reason).where(Inspection.filter == "quality")).all()
    assert set(reasons) == {"noisy"}


def test_photograph_missing_from_the_store_is_reported(harvested: Project) -> None:
    with open_engine(harvested).begin() as connection:
        connection.execute(delete(Inspection))
        sha256 = connection.scalars(select(Image.sha256).where(Image.problem.is_(None)).order_by(Image.sha256)).first()
    harvested.store.path(str(sha256)).unlink()

    result = run_json("harvest", "inspect")

    assert result["failed"] == {"store: No such file or directory": 1}
    assert (result["photographs"], result["decoded"]) == (6, 5)
