"""Commands that store or read photographs, with the store in object storage; the engineer's journey has the others."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from lightmeter.harvest import open_catalogue
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.project import Project
from tests.s3 import S3Server
from tests.support import CommandRunner, create_project, run_error, run_json


@pytest.fixture
def remote(
    s3_url: str, tmp_path: Path, photographs: Path, lightmeter: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project that has harvested six photographs and a truncated one into a bucket; it is the working directory."""
    monkeypatch.setenv("LIGHTMETER_STORE__URL", s3_url)
    project = create_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    assert lightmeter("harvest", "run", "folder", photographs)["fetched"] == 6
    return project


def test_photographs_are_read_from_object_storage(
    remote: Project, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (remote.root / "store").exists()
    assert run_json("store", "check")["checked"] == 7
    run_json("harvest", "contact-sheet", "--filter", "quality", "--out", "sheet.png")
    with Image.open("sheet.png") as sheet:
        assert len(sheet.getcolors(1 << 24)) > 1000  # not only grey
    sha256 = open_catalogue().photographs()["sha256"][0].as_py()
    assert open_catalogue().image(sha256).size == (160, 120)
    assert open_catalogue().path(sha256).is_file()

    monkeypatch.chdir(tmp_path)  # another machine: no project, an empty cache
    monkeypatch.delenv("LIGHTMETER_STORE__URL")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    spec = DatasetSpec("set", "", s3_url, (TargetSpec("medium", "1", ("film",)),))
    assert hashlib.sha256(Dataset(tmp_path / "set", spec, None).read(sha256)).hexdigest() == sha256

    monkeypatch.chdir(remote.root)
    monkeypatch.setenv("LIGHTMETER_STORE__URL", s3_url)
    run_json("catalogue", "remove", "--sha256", sha256, "--yes")
    assert remote.store.size(sha256) is None
    assert not list(remote.root.rglob(f"{sha256}*"))


def test_store_is_copied_and_cleaned(remote: Project, s3_server: S3Server) -> None:
    copied = run_json("store", "copy", "file:copy")
    assert (copied["copied"], copied["existing"], copied["faults"]) == (7, 0, {})
    (remote.root / "copy").glob("??/*").__next__().unlink()
    again = run_json("store", "copy", "file:copy")
    assert (again["copied"], again["existing"]) == (1, 6)
    assert "is the photo store of the project already" in run_error("store", "copy", remote.store.url)
    assert "use file:FOLDER or s3://BUCKET/PREFIX" in run_error("store", "copy", "s3://key:secret@bucket")

    remote.store.put("0" * 64, b"unnamed")
    result = run_json("store", "gc")
    assert (result["files"], result["recent"], result["removed"]) == ([], 1, 0)
    result = run_json("store", "gc", "--min-age", 0)
    assert (result["files"], result["removed"]) == ([f"00/{'0' * 64}"], 0)
    assert run_json("store", "gc", "--min-age", 0, "--yes")["removed"] == 1
    assert run_json("store", "check")["orphans"] == []

    name = next(iter(remote.store.files(next((remote.root / "copy").glob("??")).name))).sha256
    remote.store.discard(name)
    result = run_json("store", "copy", "file:third", code=1)
    assert result["faults"] == {name: "missing"}


def test_unreachable_store_is_one_sentence_and_loses_nothing(
    remote: Project, s3_server: S3Server, photographs: Path, lightmeter: CommandRunner
) -> None:
    (photographs / "more.jpg").write_bytes((photographs / "ansel" / "1.jpg").read_bytes() + b"more")
    gone = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    failed = lightmeter.run("harvest", "run", "folder", photographs, "--json", env=gone)
    assert failed.code == 1
    assert "its endpoint cannot be reached" in failed.error
    assert failed.error.count("\n") == 1
    assert json.loads(failed.output)["pending"] == 1
    for command in (("harvest", "inspect"), ("store", "check"), ("store", "gc"), ("init", ".")):
        result = lightmeter.run(*command, env=gone)
        assert (result.code, "Traceback" in result.error) == (0 if command == ("harvest", "inspect") else 1, False)
    assert lightmeter("harvest", "resume")["fetched"] == 1
    assert run_json("store", "check")["checked"] == 8
