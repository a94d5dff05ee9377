"""Tests of the source ``commons``, against a server that imitates MediaWiki's API."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.exif.normalise import normalise
from lightmeter.harvest.sources import commons
from lightmeter.harvest.sources.base import Checkpoint, Sighting
from lightmeter.harvest.sources.commons import Commons, _item
from lightmeter.settings import Settings
from tests.harvest.sources.api import ApiServer, serve_api
from tests.support import HttpRequest, HttpResponse

EXIF = [
    {"name": "Make", "value": "Nikon"},
    {"name": "FNumber", "value": "56/10"},
    {"name": "ExposureTime", "value": "1/250"},
    {"name": "ISOSpeedRatings", "value": [{"name": 0, "value": 400}]},
    {"name": "FocalLength", "value": "500/10"},
]


def file(number: int, base: str = "https://upload.wikimedia.org", **more: Any) -> dict[str, Any]:
    extmetadata = {
        "Artist": '<a href="//commons.wikimedia.org/wiki/User:Ada">Ada &amp; Bob</a>',
        "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
        "LicenseShortName": "CC BY-SA 4.0",
        "Categories": "Harbours|Fog",
    }
    info = {
        "url": f"{base}/{number}.jpg", "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{number}.jpg",
        "mime": "image/jpeg", "user": "Uploader", "timestamp": "2020-05-04T03:02:01Z", "metadata": EXIF,
        "extmetadata": {name: {"value": value} for name, value in extmetadata.items()}, **more,
    }  # fmt: skip
    return {"pageid": number, "ns": 6, "title": f"File:{number}.jpg", "imageinfo": [info]}


class FakeWiki:
    """MediaWiki's API: categories and a search; each batch takes two responses."""

    def __init__(self) -> None:
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.subcategories: dict[str, list[str]] = {}
        self.failures: list[HttpResponse] = []
        self.batch = 10

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self.failures:
            return self.failures.pop(0)
        params = request.params
        assert params["maxlag"] == "5"
        if params.get("list") == "categorymembers":
            members = self.subcategories.get(params["cmtitle"].partition(":")[2], [])
            return HttpResponse(
                {"batchcomplete": True, "query": {"categorymembers": [{"title": f"Category:{m}"} for m in members]}}
            )
        listing = (
            params["gcmtitle"].partition(":")[2] if params["generator"] == "categorymembers" else params["gsrsearch"]
        )
        return HttpResponse(
            self._batch(self.files.get(listing, []), int(params.get("gcmcontinue", 0)), "iicontinue" in params)
        )

    def _batch(self, files: list[dict[str, Any]], start: int, second_part: bool) -> dict[str, Any]:
        """Return a batch in two responses: the second has the properties that the first lacks for every other file."""
        batch = files[start : start + self.batch]
        if not batch:
            return {"batchcomplete": True}
        pages = [
            f if (i % 2 == 0) != second_part else {k: v for k, v in f.items() if k != "imageinfo"}
            for i, f in enumerate(batch)
        ]
        answer: dict[str, Any] = {"query": {"pages": pages}}
        if not second_part:
            answer["continue"] = {"iicontinue": "x", "gcmcontinue": str(start), "continue": "||"}
            return answer
        answer["batchcomplete"] = True
        if start + self.batch < len(files):
            answer["continue"] = {"gcmcontinue": str(start + self.batch), "continue": "gcmcontinue||"}
        return answer


@pytest.fixture
def wiki() -> FakeWiki:
    return FakeWiki()


@pytest.fixture
def api(wiki: FakeWiki, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setattr("lightmeter.harvest.sources.rate_limit._FIRST_PAUSE_S", 0.01)
    with serve_api(wiki) as server:
        yield server


def discover(api: ApiServer, cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting | Checkpoint]:
    settings = Settings.model_validate({"crawl": {"contact": "ada@example.org"}})
    query = Commons.Query(api=f"{api.url}/w/api.php", **options)
    return list(Commons(settings).discover(query, cursor))


def list_items(api: ApiServer, cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting]:
    return [item for item in discover(api, cursor, **options) if isinstance(item, Sighting)]


def test_file_page_becomes_item(wiki: FakeWiki, api: ApiServer) -> None:
    wiki.files["Fog"] = [file(1)]
    (item,) = list_items(api, category="Fog", medium="digital")
    assert (item.source_id, item.file, item.title) == ("1", "1.jpg", "1.jpg")
    assert (item.owner, item.licence) == ("Ada & Bob", "https://creativecommons.org/licenses/by-sa/4.0")
    assert item.attribution == "Ada & Bob, CC BY-SA 4.0, via Wikimedia Commons"
    assert (item.tags, item.concepts) == (("Harbours", "Fog"), ("Fog",))
    values = normalise(item.exif)  # type: ignore[arg-type]
    assert (values.make, values.f_number, values.exposure_time_s, values.iso) == ("Nikon", 5.6, 1 / 250, 400)
    assert all(request.headers["User-Agent"].endswith("(+ada@example.org)") for request in api.requests)


def test_partial_batches_are_merged(wiki: FakeWiki, api: ApiServer) -> None:
    wiki.files["Fog"] = [file(number) for number in range(35)]
    items = list_items(api, category="Fog")
    assert sorted(int(item.source_id) for item in items) == list(range(35))
    assert all(item.exif for item in items)


def test_subcategories_are_read_once_up_to_depth(wiki: FakeWiki, api: ApiServer) -> None:
    wiki.subcategories = {"A": ["B", "C"], "B": ["D"], "D": ["A"]}
    wiki.files = {name: [file(number)] for number, name in enumerate("ABCD")}
    assert [item.concepts[0] for item in list_items(api, category="A")] == ["A"]
    assert [item.concepts[0] for item in list_items(api, category="A", depth=1)] == ["A", "B", "C"]
    assert [item.concepts[0] for item in list_items(api, category="A", depth=9)] == ["A", "B", "C", "D"]


@pytest.mark.parametrize("options", [{"category": "A", "depth": 3}, {"search": "A"}])
def test_discovery_resumes_at_every_checkpoint(wiki: FakeWiki, api: ApiServer, options: dict[str, Any]) -> None:
    wiki.subcategories = {"A": ["B"], "B": ["C"]}
    wiki.files = {"A": [file(n) for n in range(25)], "B": [file(n) for n in range(25, 30)], "C": [file(30)]}
    results = discover(api, **options)
    all_ids = [item.source_id for item in results if isinstance(item, Sighting)]
    checkpoints = {index: item.cursor for index, item in enumerate(results) if isinstance(item, Checkpoint)}
    assert checkpoints
    for index, cursor in checkpoints.items():
        before = [item.source_id for item in results[:index] if isinstance(item, Sighting)]
        rest = [item.source_id for item in list_items(api, json.loads(json.dumps(cursor)), **options)]
        assert before + rest == all_ids


def test_drawings_sounds_and_missing_files_are_skipped(wiki: FakeWiki, api: ApiServer) -> None:
    missing = {"title": "File:gone.jpg", "missing": True, "pageid": 9}
    wiki.files["x"] = [file(1, mime="image/svg+xml"), file(2, mime="audio/ogg"), missing, file(3)]
    assert [item.source_id for item in list_items(api, search="x")] == ["3"]


@pytest.mark.parametrize(
    "failure",
    [
        HttpResponse(
            {"error": {"code": "maxlag", "info": "Waiting for a database server"}}, headers={"Retry-After": "0"}
        ),
        HttpResponse({}, 429, {"Retry-After": "0"}),
        HttpResponse({}, 503),
        HttpResponse(b"<html>"),
        HttpResponse({}, content_length=99),
    ],
    ids=["maxlag", "429", "503", "no JSON", "cut"],
)
def test_temporary_failure_is_retried(wiki: FakeWiki, api: ApiServer, failure: HttpResponse) -> None:
    wiki.files["x"] = [file(1)]
    wiki.failures = [failure]
    assert len(list_items(api, search="x")) == 1


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (HttpResponse({"error": {"code": "invalidtitle", "info": "Bad title"}}), "The wiki refused: Bad title"),
        (HttpResponse({}, 403), "HTTP 403"),
        (HttpResponse({}, 302, {"Location": "http://10.0.0.1/"}), "redirects to http://10.0.0.1/"),
        (HttpResponse(gzip.compress(bytes(2_000)), headers={"Content-Encoding": "gzip"}), "more than 1,000 bytes"),
    ],
)
def test_permanent_failure_raises_error(
    wiki: FakeWiki, api: ApiServer, failure: HttpResponse, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commons, "MAX_ANSWER_BYTES", 1_000)
    wiki.failures = [failure]
    with pytest.raises(LightmeterError, match=message):
        list_items(api, search="x")


def test_missing_contact_raises_error_before_any_request() -> None:
    with pytest.raises(UsageError, match="set contact"):
        list(Commons(Settings()).discover(Commons.Query(search="x"), None))


@pytest.mark.parametrize("options", [{}, {"category": "x", "search": "y"}, {"search": "x", "api": "ftp://x"}])
def test_invalid_query_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Query"):
        Commons.Query(**options)


def test_recorded_responses_are_read(shared: Path) -> None:
    recorded = json.loads((shared / "fixtures" / "wikimedia" / "image_data_example.json").read_text())
    recorded["imageinfo"][0]["mime"] = "image/jpeg"
    item = _item(recorded | {"pageid": 1}, "Trees", None)
    assert item is not None
    assert (item.owner, item.licence) == ("PtrQs", "https://creativecommons.org/licenses/by-sa/4.0")
    assert item.attribution == "Photo by PtrQs, CC BY-SA 4.0, via Wikimedia Commons"
    assert item.media_url is not None
    assert item.media_url.endswith("DSC07971_PtrQs.jpg")
