"""The walk of a folder: names of any bytes, links, sidecars, and what cannot be read."""

import os
from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import LightmeterError
from lightmeter.harvest.catalogue.records import CleanRecord, clean_record
from lightmeter.harvest.sources.base import Checkpoint, Item, Sighting, Unreadable
from lightmeter.harvest.sources.folder import Folder
from lightmeter.settings import Settings


def discover(folder: Path, cursor: dict[str, Any] | None = None, **options: Any) -> list[Item]:
    return list(Folder(Settings()).discover(Folder.Query(path=folder, **options), cursor))


def files(folder: Path, **options: Any) -> list[str]:
    """Return the paths of the photographs below a folder."""
    items = [item for item in discover(folder, **options) if isinstance(item, Sighting)]
    return [str(Path(item.source_id).relative_to(folder)) for item in items]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_name_of_any_bytes_is_harvested(tmp_path: Path) -> None:
    names = [b"Am\xe9lie.jpg", b"Am\xe8lie.jpg", b"a\nb\x1b[31m.JPG", b"%E9?#.jpg", b" .jpg", "日本語.jpg".encode()]
    for name in names:
        touch(tmp_path / os.fsdecode(name))
    records = [clean_record(item, "folder") for item in discover(tmp_path) if isinstance(item, Sighting)]
    items = [record.item for record in records if isinstance(record, CleanRecord)]
    assert len({item.source_id for item in items}) == len(names)
    for item in items:
        assert all(value is None or "\udce9" not in value for value in (item.source_id, item.file, item.media_url))


def test_photograph_with_several_links_counts_once(tmp_path: Path) -> None:
    top, outside = tmp_path / "top", tmp_path / "outside"
    touch(top / "ann/1.jpg", outside / "2.jpg", outside / "sub/3.jpg", tmp_path / "4.jpg", top / "data/blob")
    for name, target in {
        "best": "ann", "up": ".", "ann/cover.jpg": "1.jpg", "loop.jpg": "loop.jpg", "gone.jpg": "nowhere",
        "far": outside, "far again": outside, "far sub": outside / "sub", "file.jpg": tmp_path / "4.jpg",
        "same.jpg": tmp_path / "4.jpg", "named.jpg": "data/blob",
    }.items():  # fmt: skip
        (top / name).symlink_to(target)
    assert files(top) == ["file.jpg", "named.jpg", "ann/1.jpg", "far/2.jpg", "far sub/3.jpg"]
    unreadable = {Path(item.location).name for item in discover(top) if isinstance(item, Unreadable)}
    assert unreadable == {"loop.jpg", "gone.jpg"}


def test_what_is_no_file_is_unreadable(tmp_path: Path) -> None:
    touch(tmp_path / "1.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "1.jpg.json")  # must not be waited for
    (tmp_path / "folder.jpg").mkdir()
    items = discover(tmp_path)
    assert [Path(item.location).name for item in items if isinstance(item, Unreadable)] == ["pipe.jpg"]
    assert files(tmp_path) == ["1.jpg"]


def test_folder_that_cannot_be_read_does_not_end_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a/1.jpg", tmp_path / "locked/2.jpg", tmp_path / "z/3.jpg")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert files(tmp_path) == ["a/1.jpg", "z/3.jpg"]
    assert Unreadable(str(tmp_path / "locked"), "Permission denied") in discover(tmp_path)
    with pytest.raises(LightmeterError, match="Permission denied"):
        discover(tmp_path / "locked")


def test_walk_resumes_after_each_folder(tmp_path: Path) -> None:
    touch(*(tmp_path / name / "1.jpg" for name in ("a", "a/b", "a-b", "B", os.fsdecode(b"\xe9"))), tmp_path / "0.jpg")
    items = discover(tmp_path)
    for index, item in enumerate(items):
        if isinstance(item, Checkpoint):
            assert discover(tmp_path, item.cursor) == items[index + 1 :]


@pytest.mark.parametrize(
    "suffix", ["jpg", "HIF", "heic", "CR3", "nef", "RAF", "iiq", "3FR", "x3f", "rwl", "gpr", "DNG"]
)
def test_suffix_of_any_camera_is_found(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / f"1.{suffix}", tmp_path / "notes.txt")
    assert files(tmp_path) == [f"1.{suffix}"]


@pytest.mark.parametrize("name", ["IMG_1.JPG.json", "IMG_1.JPG.JSON", "IMG_1.jpg.Json"])
def test_sidecar_suffix_of_any_case_is_read(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "IMG_1.JPG", tmp_path / "img_1.jpg")
    (tmp_path / name).write_text('\ufeff{"title": "Fog"}', encoding="utf-8")
    titles = {Path(item.source_id).name: item.title for item in discover(tmp_path) if isinstance(item, Sighting)}
    assert titles == {"IMG_1.JPG": "Fog", "img_1.jpg": None}
