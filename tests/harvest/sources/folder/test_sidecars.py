"""Tests of sidecar files, and of folder names as concepts and owner (source ``folder``)."""

import json
from pathlib import Path
from typing import Any

import pytest

from lightmeter.harvest.exif.normalise import normalise
from lightmeter.harvest.sources.base import Sighting
from lightmeter.harvest.sources.folder.source import Folder
from lightmeter.settings import Settings
from tests.support import CommandRunner, jpeg

FLICKR = {
    "category": "flickr", "subcategory": "user", "id": 123, "title": "Fog", "license": 4, "date": "2020-01-02 03:04:05",
    "owner": {"nsid": "1@N00", "username": "ada"}, "tags": ["harbour", "film"],
    "exif": [{"tagspace": "ExifIFD", "tag": "FNumber", "raw": {"_content": "5.6"}}],
}  # fmt: skip
REDDIT = {
    "category": "reddit", "subreddit": "analog", "id": "abc", "title": "Fog", "author": "ada",
    "permalink": "/r/analog/comments/abc/fog/", "date": "2020-01-02 03:04:05",
}  # fmt: skip
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:ExposureTime="1/250" exif:FNumber="80/10"/></rdf:RDF></x:xmpmeta>"""


def item_of(folder: Path, files: dict[str, Any], **options: Any) -> Sighting:
    (folder / "1.jpg").write_bytes(jpeg(settings={}))
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    items = Folder(Settings()).discover(Folder.Query(path=folder, **options), None)
    (item,) = [item for item in items if isinstance(item, Sighting)]
    return item


def test_gallery_dl_sidecar_of_flickr_is_read(tmp_path: Path) -> None:
    item = item_of(tmp_path, {"1.jpg.json": FLICKR})
    assert (item.owner, item.licence, item.title, item.tags) == ("1@N00", "CC-BY-2.0", "Fog", ("harbour", "film"))
    assert item.page_url == "https://www.flickr.com/photos/1@N00/123"
    assert item.attribution == "Fog by 1@N00 on Flickr"
    assert normalise(item.exif).f_number == 5.6  # type: ignore[arg-type]
    assert item.exif_origin == "sidecar"
    assert item.published_at is not None


def test_gallery_dl_sidecar_of_reddit_is_read(tmp_path: Path) -> None:
    item = item_of(tmp_path, {"1.jpg.json": REDDIT}, assume_licence="CC0-1.0")
    assert (item.owner, item.licence) == ("ada", "CC0-1.0")
    assert item.page_url == "https://www.reddit.com/r/analog/comments/abc/fog/"
    assert item.metadata == {"category": "reddit", "id": "abc", "subreddit": "analog"}


@pytest.mark.parametrize("name", ["1.xmp", "1.jpg.xmp"])
def test_xmp_sidecar_is_read(tmp_path: Path, name: str) -> None:
    values = normalise(item_of(tmp_path, {name: XMP}).exif)  # type: ignore[arg-type]
    assert (values.exposure_time_s, values.f_number) == (1 / 250, 8)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"owner": [], "tags": 3, "title": {}, "date": [], "exif": 3}']
)
def test_unreadable_sidecar_is_ignored(tmp_path: Path, content: str) -> None:
    item = item_of(tmp_path, {"1.jpg.json": content, "1.xmp": "<x"})
    assert (item.owner, item.title, item.tags, item.exif) == (None, None, (), None)


def test_sidecars_can_be_disabled(tmp_path: Path) -> None:
    assert item_of(tmp_path, {"1.jpg.json": FLICKR}, sidecars=False).owner is None


def test_folder_names_become_concepts_and_owner(tmp_path: Path) -> None:
    folder = tmp_path / "animal" / "dog"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(jpeg())
    query = Folder.Query(path=tmp_path, concepts_from_folders=True, owner_from_folders=True)
    (item,) = [item for item in Folder(Settings()).discover(query, None) if isinstance(item, Sighting)]
    assert (item.concepts, item.owner) == (("animal", "dog"), "dog")


def test_harvest_run_fills_catalogue(lightmeter: CommandRunner, project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    item_of(folder, {"1.jpg.json": FLICKR, "1.xmp": XMP})
    assert lightmeter("harvest", "run", "folder", folder, "--require", "exposure_time_s")["fetched"] == 1
    import pyarrow.parquet as pq

    (row,) = pq.read_table(lightmeter("catalogue", "export", "o.parquet")["file"]).to_pylist()
    assert (row["owner"], row["licence"], row["exposure_time_s"]) == ("1@N00", "CC-BY-2.0", 1 / 250)
