"""Tests of the source ``ffhq``: list, images on disk, faces as regions."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from lightmeter.errors import UsageError
from lightmeter.harvest.sources.base import Checkpoint, Item, Sighting, Unreadable
from lightmeter.harvest.sources.ffhq import Ffhq, read_members
from lightmeter.settings import Settings
from tests.support import CommandRunner, jpeg


def record(number: int, **more: Any) -> dict[str, Any]:
    landmarks = [[60.0 + n, 40.0 + n / 2] for n in range(68)]
    wild = {
        "file_url": f"https://example.org/{number}.png", "file_path": f"in-the-wild-images/00000/{number:05d}.png",
        "face_rect": [50, 30, 130, 110], "face_landmarks": landmarks, "face_quad": [[1, 2]] * 4,
    }  # fmt: skip
    aligned = {
        "file_url": "https://example.org/a.png",
        "file_path": "images1024x1024/0.png",
        "face_landmarks": landmarks,
    }
    metadata = {
        "photo_url": f"https://www.flickr.com/photos/ada/{number}/", "photo_title": "Fog", "author": "Ada",
        "license": "Attribution License", "license_url": "https://creativecommons.org/licenses/by/2.0/", "date_uploaded": "2007-08-16",
    }  # fmt: skip
    return {"category": "training", "metadata": metadata, "image": aligned, "in_the_wild": wild} | more


def write_list(folder: Path, count: int = 3, indent: int | None = None) -> Path:
    file = folder / "ffhq-dataset-v2.json"
    file.write_text(json.dumps({str(number): record(number) for number in range(count)}, indent=indent))
    return file


def discover(cursor: dict[str, Any] | None = None, **options: Any) -> list[Item]:
    return list(Ffhq(Settings()).discover(Ffhq.Query(**options), cursor))


def list_items(cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting]:
    return [item for item in discover(cursor, **options) if isinstance(item, Sighting)]


def test_record_becomes_item(tmp_path: Path) -> None:
    item = list_items(file=write_list(tmp_path))[1]
    assert (item.source_id, item.media_url) == ("in_the_wild/1", "https://example.org/1.png")
    assert (item.owner, item.licence, item.attribution) == (
        "Ada",
        "https://creativecommons.org/licenses/by/2.0/",
        "Fog by Ada on Flickr",
    )
    assert item.page_url == "https://www.flickr.com/photos/ada/1/"
    (face,) = item.regions
    assert (face.kind, face.x, face.y, face.width, face.height) == ("face", 50, 30, 80, 80)
    assert face.details is not None
    assert len(face.details["landmarks"]) == 68


def test_aligned_face_has_bounding_box_of_landmarks(tmp_path: Path) -> None:
    item = list_items(file=write_list(tmp_path), kind="image")[0]
    assert item.source_id == "image/0"
    (face,) = item.regions
    assert (face.x, face.y, face.width, face.height) == (60, 40, 67, 34)


@pytest.mark.parametrize("indent", [None, 1])
def test_list_larger_than_chunk_is_read(tmp_path: Path, indent: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightmeter.harvest.sources.ffhq._CHUNK_SIZE", 1000)
    assert [number for number, _ in read_members(write_list(tmp_path, 40, indent))] == [str(n) for n in range(40)]


def test_discovery_resumes_at_checkpoint(tmp_path: Path) -> None:
    file = write_list(tmp_path, 450)
    checkpoints = [item for item in discover(file=file) if isinstance(item, Checkpoint)]
    assert len(list_items(checkpoints[1].cursor, file=file)) == 50


def test_documented_form_is_read(shared: Path) -> None:
    (item,) = list_items(file=shared / "fixtures/ffhq/ffhq-dataset-v2.json")
    assert (item.owner, item.licence) == ("Example Author", "https://creativecommons.org/licenses/by/2.0/")
    assert (item.regions[0].x, item.regions[0].width) == (600, 800)


def test_list_cannot_name_other_files(tmp_path: Path) -> None:
    file = tmp_path / "ffhq.json"
    wilds = [{"file_path": "../../etc/passwd"}, {"file_path": "/etc/passwd"}, {"file_url": "file:///etc/passwd"}]
    file.write_text(json.dumps({str(n): record(n, in_the_wild=wild) for n, wild in enumerate(wilds)}))
    assert [item.media_url for item in list_items(file=file, images=tmp_path)] == [None] * 3
    assert list_items(file=file)[2].media_url is None


@pytest.mark.parametrize("content", ["", "[]", "\xff"])
def test_other_content_raises_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "list.json").write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match=r"list\.json"):
        list_items(file=tmp_path / "list.json")


def test_broken_members_are_unreadable_and_others_are_read(tmp_path: Path) -> None:
    broken = ['"2": 3', '"3": {"a": }', '"4": {"in_the_wild": ' + "[" * 100_000, '"5": {"cut": "']
    faces = [[1, 2, 3], [1, 2, float("nan"), 4], [0, 0, 1e30, 1], ["a", "b", "c", "d"], [1, 2, 3, 4]]
    good = [f'"{10 + n}": {json.dumps(record(n, in_the_wild={"face_rect": box}))}' for n, box in enumerate(faces)]
    (tmp_path / "list.json").write_text("\ufeff{" + ", ".join([*broken[:2], *good, *broken[2:]]), encoding="utf-8")
    items = discover(file=tmp_path / "list.json")
    assert [len(item.regions) for item in items if isinstance(item, Sighting)] == [0, 0, 0, 0, 1]
    assert sum(isinstance(item, Unreadable) for item in items) == 4


def test_faces_become_regions_once(lightmeter: CommandRunner, project: Path, tmp_path: Path) -> None:
    for number in (0, 1):
        image = tmp_path / "ffhq" / "in-the-wild-images" / "00000" / f"{number:05d}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(jpeg(0))  # both the same image
    counts = lightmeter("harvest", "run", "ffhq", write_list(tmp_path), "--images", tmp_path / "ffhq")
    assert {name: counts[name] for name in ("found", "fetched", "failed")} == {"found": 3, "fetched": 2, "failed": 1}
    with create_engine(f"sqlite:///{project / 'catalogue.sqlite'}").connect() as connection:
        rows = connection.execute(text("SELECT kind, x, y, width, height FROM regions WHERE origin = 'ffhq'")).all()
    assert rows == [("face", 50, 30, 80, 80)]
