"""Tests of the source ``visual-genome``: list, copies, originals on Flickr."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flickrapi")

from lightmeter.errors import UsageError
from lightmeter.harvest.exif.normalise import normalise
from lightmeter.harvest.sources.base import Checkpoint, Sighting
from lightmeter.harvest.sources.visual_genome import VisualGenome
from lightmeter.settings import Settings
from tests.harvest.sources.api import serve_api
from tests.support import CommandRunner, HttpRequest, HttpResponse, jpeg


def write_list(folder: Path, count: int = 3) -> Path:
    file = folder / "image_data.json"
    images = [
        {
            "image_id": n,
            "url": f"https://example.org/VG_100K_2/{n}.jpg",
            "flickr_id": None if n == 1 else 1000 + n,
            "coco_id": 7,
        }
        for n in range(1, count + 1)
    ]
    file.write_text(json.dumps(images))
    return file


def discover(cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting | Checkpoint]:
    return list(VisualGenome(Settings()).discover(VisualGenome.Query(**options), cursor))


def list_items(cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting]:
    return [item for item in discover(cursor, **options) if isinstance(item, Sighting)]


def test_published_copies_are_listed(tmp_path: Path) -> None:
    items = list_items(file=write_list(tmp_path))
    assert [item.media_url for item in items] == [f"https://example.org/VG_100K_2/{n}.jpg" for n in (1, 2, 3)]
    assert items[1].metadata == {"flickr_id": 1002, "coco_id": 7}


def test_copies_on_disk_are_harvested(tmp_path: Path, lightmeter: CommandRunner, project: Path) -> None:
    for number in (1, 2):
        file = tmp_path / "vg" / "VG_100K_2" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(number))
    counts = lightmeter("harvest", "run", "visual-genome", write_list(tmp_path), "--images", tmp_path / "vg")
    assert {name: counts[name] for name in ("found", "fetched", "failed")} == {"found": 3, "fetched": 2, "failed": 1}


def test_list_cannot_name_other_files(tmp_path: Path) -> None:
    file = tmp_path / "image_data.json"
    file.write_text(
        json.dumps([{"image_id": 1, "url": "file:///etc/passwd"}, {"image_id": 2, "url": "https://x/../etc"}])
    )
    assert list_items(file=file)[0].media_url is None
    assert list_items(file=file, images=tmp_path)[1].media_url is None


def test_originals_are_requested_from_flickr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    exif = json.loads((shared / "fixtures/flickr/json_converted/getexif_clean.json").read_text()) | {"stat": "ok"}

    def flickr(request: HttpRequest) -> HttpResponse:
        number = request.params["photo_id"]
        if number == "1003":
            return HttpResponse({"stat": "fail", "code": 1, "message": "Photo not found"})
        info = {
            "id": number, "secret": "abc", "server": "65535", "license": "4", "dateuploaded": "1200000000",
            "owner": {"nsid": "1@N00", "username": "ada", "realname": "Ada"}, "title": {"_content": "Fog"},
            "tags": {"tag": [{"_content": "harbour"}]},
        }  # fmt: skip
        source = f"https://live.staticflickr.com/65535/{number}_def_o.jpg"
        answers = {
            "flickr.photos.getInfo": {"photo": info, "stat": "ok"},
            "flickr.photos.getSizes": {"sizes": {"size": [{"source": source}]}, "stat": "ok"},
            "flickr.photos.getExif": exif,
        }
        return HttpResponse(answers[request.params["method"]])

    with serve_api(flickr) as api:
        for name, value in {"KEY": "k", "SECRET": "s", "URL": api.url}.items():
            monkeypatch.setenv(f"FLICKR_API_{name}", value)
        item, gone = list_items(file=write_list(tmp_path), flickr=True)
    assert (item.source_id, item.owner, item.licence, item.title) == ("2", "1@N00", "CC-BY-2.0", "Fog")
    assert item.media_url == "https://live.staticflickr.com/65535/1002_def_o.jpg"
    assert normalise(item.exif).f_number == 1.8  # type: ignore[arg-type]
    assert item.metadata["flickr_id"] == 1002
    assert (gone.source_id, gone.media_url) == ("3", None)
    assert gone.gone is not None
    assert gone.gone.startswith("not on Flickr")


def test_discovery_resumes_at_checkpoint(tmp_path: Path) -> None:
    file = write_list(tmp_path, 250)
    checkpoint = next(item for item in discover(file=file) if isinstance(item, Checkpoint))
    assert next(item.source_id for item in list_items(checkpoint.cursor, file=file)) == "101"


def test_published_form_is_read(shared: Path) -> None:
    assert [item.source_id for item in list_items(file=shared / "fixtures/visual_genome/image_data.json")] == [
        "1",
        "999",
    ]


@pytest.mark.parametrize("content", ["{", "{}", "[" * 100_000])
def test_other_content_raises_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(UsageError, match=r"list\.json"):
        list_items(file=tmp_path / "list.json")
