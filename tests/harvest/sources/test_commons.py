"""The source ``commons``, against a server that speaks MediaWiki's protocol."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.exif import normalise
from lightmeter.harvest.sources import Checkpoint, PhotoItem
from lightmeter.harvest.sources.commons import Commons, _items
from lightmeter.settings import Settings
from tests.harvest.sources.api import Api, Asked, Reply, serving

EXIF = [
    {"name": "Make", "value": "Nikon"},
    {"name": "FNumber", "value": "56/10"},
    {"name": "ExposureTime", "value": "1/250"},
    {"name": "ISOSpeedRatings", "value": [{"name": 0, "value": 400}]},
    {"name": "FocalLength", "value": "500/10"},
]


def file(number: int, base: str = "https://upload.wikimedia.org", **more: Any) -> dict[str, Any]:
    about = {
        "Artist": '<a href="//commons.wikimedia.org/wiki/User:Ada">Ada &amp; Bob</a>',
        "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
        "LicenseShortName": "CC BY-SA 4.0",
        "Categories": "Harbours|Fog",
    }
    info = {
        "url": f"{base}/{number}.jpg", "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{number}.jpg",
        "mime": "image/jpeg", "user": "Uploader", "timestamp": "2020-05-04T03:02:01Z", "metadata": EXIF,
        "extmetadata": {name: {"value": value} for name, value in about.items()}, **more,
    }  # fmt: skip
    return {"pageid": number, "ns": 6, "title": f"File:{number}.jpg", "imageinfo": [info]}


class FakeWiki:
    """A MediaWiki: files and categories in categories, in batches that come in two parts; a search."""

    def __init__(self) -> None:
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.below: dict[str, list[str]] = {}
        self.troubles: list[Reply] = []
        self.batch = 10

    def __call__(self, asked: Asked) -> Reply:
        if self.troubles:
            return self.troubles.pop(0)
        words = asked.words
        assert words["maxlag"] == "5"
        if words.get("list") == "categorymembers":
            members = self.below.get(words["cmtitle"].partition(":")[2], [])
            return Reply(
                {"batchcomplete": True, "query": {"categorymembers": [{"title": f"Category:{m}"} for m in members]}}
            )
        listing = words["gcmtitle"].partition(":")[2] if words["generator"] == "categorymembers" else words["gsrsearch"]
        return Reply(self._batch(self.files.get(listing, []), int(words.get("gcmcontinue", 0)), "iicontinue" in words))

    def _batch(self, files: list[dict[str, Any]], start: int, second_part: bool) -> dict[str, Any]:
        """A batch's first answer lacks what is told of every other file; the second answer has only that."""
        batch = files[start : start + self.batch]
        if not batch:
            return {"batchcomplete": True}
        here = [
            f if (i % 2 == 0) != second_part else {k: v for k, v in f.items() if k != "imageinfo"}
            for i, f in enumerate(batch)
        ]
        answer: dict[str, Any] = {"query": {"pages": here}}
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
def api(wiki: FakeWiki, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr("lightmeter.harvest.sources.rate_limit._FIRST_PAUSE_S", 0.01)
    with serving(wiki) as server:
        yield server


def discover(api: Api, cursor: dict[str, Any] | None = None, **options: Any) -> list[PhotoItem | Checkpoint]:
    settings = Settings.model_validate({"crawl": {"contact": "ada@example.org"}})
    query = Commons.Query(api=f"{api.url}/w/api.php", **options)
    return list(Commons(settings).discover(query, cursor))


def found(api: Api, cursor: dict[str, Any] | None = None, **options: Any) -> list[PhotoItem]:
    return [item for item in discover(api, cursor, **options) if isinstance(item, PhotoItem)]


def test_what_a_file_page_tells(wiki: FakeWiki, api: Api) -> None:
    wiki.files["Fog"] = [file(1)]
    (item,) = found(api, category="Fog", medium="digital")
    assert (item.source_id, item.file, item.title) == ("1", "1.jpg", "1.jpg")
    assert (item.owner, item.licence) == ("Ada & Bob", "https://creativecommons.org/licenses/by-sa/4.0")
    assert item.attribution == "Ada & Bob, CC BY-SA 4.0, via Wikimedia Commons"
    assert (item.tags, item.concepts) == (("Harbours", "Fog"), ("Fog",))
    values = normalise(item.exif)  # type: ignore[arg-type]
    assert (values.make, values.f_number, values.exposure_time_s, values.iso) == ("Nikon", 5.6, 1 / 250, 400)
    assert all(asked.headers["User-Agent"].endswith("(+ada@example.org)") for asked in api.asked)


def test_batches_in_parts_are_put_together(wiki: FakeWiki, api: Api) -> None:
    wiki.files["Fog"] = [file(number) for number in range(35)]
    items = found(api, category="Fog")
    assert sorted(int(item.source_id) for item in items) == list(range(35))
    assert all(item.exif for item in items)


def test_categories_below_as_deep_as_asked_and_none_twice(wiki: FakeWiki, api: Api) -> None:
    wiki.below = {"A": ["B", "C"], "B": ["D"], "D": ["A"]}
    wiki.files = {name: [file(number)] for number, name in enumerate("ABCD")}
    assert [item.concepts[0] for item in found(api, category="A")] == ["A"]
    assert [item.concepts[0] for item in found(api, category="A", depth=1)] == ["A", "B", "C"]
    assert [item.concepts[0] for item in found(api, category="A", depth=9)] == ["A", "B", "C", "D"]


@pytest.mark.parametrize("options", [{"category": "A", "depth": 3}, {"search": "A"}])
def test_discovery_goes_on_at_every_checkpoint(wiki: FakeWiki, api: Api, options: dict[str, Any]) -> None:
    wiki.below = {"A": ["B"], "B": ["C"]}
    wiki.files = {"A": [file(n) for n in range(25)], "B": [file(n) for n in range(25, 30)], "C": [file(30)]}
    whole = discover(api, **options)
    everything = [item.source_id for item in whole if isinstance(item, PhotoItem)]
    for index, item in enumerate(whole):
        if isinstance(item, Checkpoint):
            seen = [one.source_id for one in whole[:index] if isinstance(one, PhotoItem)]
            rest = [one.source_id for one in found(api, json.loads(json.dumps(item.cursor)), **options)]
            assert seen + rest == everything


def test_drawings_sounds_and_missing_files_are_no_photographs(wiki: FakeWiki, api: Api) -> None:
    missing = {"title": "File:gone.jpg", "missing": True, "pageid": 9}
    wiki.files["x"] = [file(1, mime="image/svg+xml"), file(2, mime="audio/ogg"), missing, file(3)]
    assert [item.source_id for item in found(api, search="x")] == ["3"]


@pytest.mark.parametrize(
    "trouble",
    [
        Reply({"error": {"code": "maxlag", "info": "Waiting for a database server"}}, headers={"Retry-After": "0"}),
        Reply({}, 429, {"Retry-After": "0"}),
        Reply({}, 503),
        Reply(b"<html>"),
        Reply({}, promised=99),
    ],
    ids=["maxlag", "429", "503", "no JSON", "cut"],
)
def test_a_passing_trouble_is_waited_out(wiki: FakeWiki, api: Api, trouble: Reply) -> None:
    wiki.files["x"] = [file(1)]
    wiki.troubles = [trouble]
    assert len(found(api, search="x")) == 1


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (Reply({"error": {"code": "invalidtitle", "info": "Bad title"}}), "The wiki refused: Bad title"),
        (Reply({}, 403), "HTTP 403"),
    ],
)
def test_a_lasting_trouble_is_a_sentence(wiki: FakeWiki, api: Api, trouble: Reply, says: str) -> None:
    wiki.troubles = [trouble]
    with pytest.raises(LightmeterError, match=says):
        found(api, search="x")


def test_without_a_contact_nothing_is_asked() -> None:
    with pytest.raises(UsageError, match="set contact"):
        list(Commons(Settings()).discover(Commons.Query(search="x"), None))


@pytest.mark.parametrize("options", [{}, {"category": "x", "search": "y"}, {"search": "x", "api": "ftp://x"}])
def test_a_wrong_query_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Query"):
        Commons.Query(**options)


def test_recorded_answers_are_understood(shared: Path) -> None:
    recorded = json.loads((shared / "fixtures" / "wikimedia" / "image_data_example.json").read_text())
    recorded["imageinfo"][0]["mime"] = "image/jpeg"
    (item,) = _items(recorded, "Trees", None)
    assert (item.owner, item.licence) == ("PtrQs", "https://creativecommons.org/licenses/by-sa/4.0")
    assert item.attribution == "Photo by PtrQs, CC BY-SA 4.0, via Wikimedia Commons"
    assert item.media_url is not None
    assert item.media_url.endswith("DSC07971_PtrQs.jpg")
