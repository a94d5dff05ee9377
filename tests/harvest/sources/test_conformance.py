"""Tests of Lightmeter's own sources with `SourceTests`, the test kit for plugins."""

import json
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flickrapi")

from lightmeter.harvest.sources.commons import Commons
from lightmeter.harvest.sources.flickr import Flickr
from lightmeter.harvest.sources.flickr_exif import FlickrExif
from lightmeter.harvest.sources.reddit import Reddit
from lightmeter.harvest.sources.simulator import Simulator
from lightmeter.harvest.sources.website import Website
from lightmeter.testing import SourceTests, photograph, served
from tests.harvest.sources.api import serve_api
from tests.support import LOOPBACK, CommandRunner, HttpRequest, HttpResponse


@pytest.fixture(autouse=True)
def _forked_commands(lightmeter: CommandRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the harvests of the test kit."""

    def run(folder: Path, command: list[str], timeout_s: float) -> tuple[int, str, str]:
        with chdir(folder):
            result = lightmeter.run(*command, env=LOOPBACK)
        return result.code, result.output, result.error

    monkeypatch.setattr("lightmeter.testing.server._run_process", run)


@pytest.fixture
def media(tmp_path: Path) -> Iterator[str]:
    """URL of a server with two photographs."""
    folder = tmp_path / "media"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
    with served(folder) as server:
        yield server.url


class TestSimulator(SourceTests):
    source = Simulator

    @pytest.fixture
    def query(self) -> dict[str, Any]:
        return {"count": 3, "size": "96x64", "film_share": 0.5}


class TestFlickr(SourceTests):
    source = Flickr

    @pytest.fixture
    def query(self, media: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
        photos = [
            {"id": str(n), "owner": "1@N00", "license": "4", "title": "Fog", "url_o": f"{media}/{n}.jpg"}
            for n in (1, 2)
        ]

        def flickr(request: HttpRequest) -> HttpResponse:
            return HttpResponse({"stat": "ok", "photos": {"page": 1, "pages": 1, "total": 2, "photo": photos}})

        with serve_api(flickr) as api:
            for name, value in {"KEY": "k", "SECRET": "s", "URL": api.url}.items():
                monkeypatch.setenv(f"FLICKR_API_{name}", value)
            yield {"search": "fog"}


class TestFlickrExif(SourceTests):
    source = FlickrExif

    @pytest.fixture
    def query(self, media: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
        def flickr(request: HttpRequest) -> HttpResponse:
            method, number = request.params["method"], request.params["photo_id"]
            answers = {
                "flickr.photos.getInfo": {"photo": {"license": "4", "owner": {"nsid": "1@N00"}}},
                "flickr.photos.getSizes": {"sizes": {"size": [{"source": f"{media}/{number}.jpg"}]}},
                "flickr.photos.getExif": {"photo": {"exif": []}},
            }
            return HttpResponse({"stat": "ok", **answers[method]})

        splits = {"label_encoder_classes": ["Canon", "SONY"], "train_ids": [1, 2], "encoded_train_labels": [0, 1]}
        monkeypatch.setattr(FlickrExif, "rate_limit", None)
        (tmp_path / "splits").mkdir()
        (tmp_path / "splits" / "split_data_target_attribute=Make.json").write_text(json.dumps(splits))
        with serve_api(flickr) as api:
            for name, value in {"KEY": "k", "SECRET": "s", "URL": api.url}.items():
                monkeypatch.setenv(f"FLICKR_API_{name}", value)
            yield {"splits": str(tmp_path / "splits")}


class TestCommons(SourceTests):
    source = Commons

    @pytest.fixture
    def query(self, media: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
        monkeypatch.setenv("LIGHTMETER_CRAWL__CONTACT", "ada@example.org")
        about = {"Artist": {"value": "Ada"}, "License": {"value": "cc-by-sa-4.0"}}
        files = [
            {"pageid": n, "title": f"File:{n}.jpg", "imageinfo": [{"url": f"{media}/{n}.jpg", "mime": "image/jpeg", "extmetadata": about}]}
            for n in (1, 2)
        ]  # fmt: skip
        with serve_api(lambda _: HttpResponse({"batchcomplete": True, "query": {"pages": files}})) as api:
            yield {"search": "fog", "api": f"{api.url}/w/api.php"}


class TestReddit(SourceTests):
    source = Reddit

    @pytest.fixture
    def query(self, media: str, tmp_path: Path) -> dict[str, Any]:
        posts = [
            {"id": f"p{n}", "subreddit": "analog", "author": "ada", "title": "Fog", "url": f"{media}/{n}.jpg"}
            for n in (1, 2)
        ]
        dump = tmp_path / "dump.jsonl"
        dump.write_text("\n".join(json.dumps(post) for post in posts))
        return {"subreddit": "analog", "dump": str(dump)}


class TestWebsite(SourceTests):
    source = Website

    @pytest.fixture
    def query(self, tmp_path: Path) -> Iterator[dict[str, Any]]:
        folder = tmp_path / "website"
        folder.mkdir()
        pages = {"index.html": (1, "more.html"), "more.html": (2, "index.html")}
        for name, (number, following) in pages.items():
            (folder / f"{number}.jpg").write_bytes(photograph(number))
            (folder / name).write_text(f'<figure><img src="{number}.jpg"></figure><a class="next" href="{following}">')
        with served(folder) as server:
            file = tmp_path / "site.toml"
            file.write_text(f'start = ["{server.url}/"]\nfollow = ["a.next"]\n[photograph]\neach = "figure"\n')
            yield {"file": str(file)}
