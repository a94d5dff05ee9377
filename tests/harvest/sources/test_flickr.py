"""Tests of the source ``flickr`` with flickrapi, against a server that imitates Flickr's API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flickrapi")

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.exif.normalise import normalise
from lightmeter.harvest.sources.base import Checkpoint, Sighting
from lightmeter.harvest.sources.flickr import Flickr, listings
from lightmeter.harvest.sources.flickr.listings import FIRST_UPLOAD
from lightmeter.harvest.sources.flickr.photos import SIZES, nearest_size
from lightmeter.settings import Settings
from tests.harvest.sources.api import ApiServer, serve_api
from tests.support import LOOPBACK, CommandRunner, HttpRequest, HttpResponse, jpeg

OWNER = "12345678@N00"
KEY = {"FLICKR_API_KEY": "a-key-nobody-may-see", "FLICKR_API_SECRET": "a-secret-nobody-may-see"}


def photo(number: int, uploaded: int = FIRST_UPLOAD + 1000, **more: Any) -> dict[str, Any]:
    """Return a photograph as flickr.photos.search with extras returns it."""
    base = f"https://live.staticflickr.com/65535/{number}_s3cret"
    return {
        "id": str(number), "owner": OWNER, "ownername": "Ada", "secret": "s3cret", "server": "65535", "media": "photo",
        "title": f"Photo {number}", "license": "4", "dateupload": str(uploaded), "tags": "film leica",
        "url_z": f"{base}_z.jpg", "url_l": f"{base}_b.jpg", "url_o": f"{base}_o.jpg", **more,
    }  # fmt: skip


class FakeFlickr:
    """Flickr's API as documented.

    Attributes:
        photos: All photographs.
        groups: Photographs by group.
        albums: Photographs by album.
        exif: Response of getExif by photograph.
        failures: Responses to send before the regular ones.
        errors: Responses by method, instead of the regular ones.
    """

    def __init__(self) -> None:
        self.photos: list[dict[str, Any]] = []
        self.groups: dict[str, list[dict[str, Any]]] = {}
        self.albums: dict[str, list[dict[str, Any]]] = {}
        self.exif: dict[str, Any] = {}
        self.failures: list[HttpResponse] = []
        self.errors: dict[str, HttpResponse] = {}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self.failures:
            return self.failures.pop(0)
        signed = request.headers.get("Authorization", "") + str(request.params)
        if KEY["FLICKR_API_KEY"] not in signed:
            return fail(100, "Invalid API Key (Key has invalid format)")
        method = request.params["method"].removeprefix("flickr.").replace(".", "_")
        if method in self.errors:
            return self.errors[method]
        return (
            HttpResponse(getattr(self, method)(request.params) | {"stat": "ok"})
            if hasattr(self, method)
            else fail(112, "?")
        )

    def photos_search(self, params: dict[str, str]) -> dict[str, Any]:
        low, high = int(params.get("min_upload_date", 0)), int(params.get("max_upload_date", 2**40))
        photos = [p for p in self.photos if low <= int(p["dateupload"]) <= high]
        if "tags" in params:
            photos = [p for p in photos if params["tags"] in p["tags"].split()]
        if "license" in params:
            photos = [p for p in photos if p["license"] in params["license"].split(",")]
        return {"photos": self._page(sorted(photos, key=lambda p: -int(p["dateupload"])), params)}

    def groups_pools_getPhotos(self, params: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        return {"photos": self._page(self.groups[params["group_id"]], params)}

    def photosets_getPhotos(self, params: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        without_owner = [
            {key: value for key, value in p.items() if key != "owner"} for p in self.albums[params["photoset_id"]]
        ]
        return {"photoset": self._page(without_owner, params) | {"owner": params["user_id"]}}

    def photos_getExif(self, params: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        return self.exif[params["photo_id"]]

    def photos_getSizes(self, params: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        base = f"https://live.staticflickr.com/65535/{params['photo_id']}_"
        sources = [f"{base}s3cret_s.jpg", f"{base}s3cret.jpg", f"{base}other_k.jpg"]
        return {"sizes": {"size": [{"label": "?", "source": source} for source in sources]}}

    def urls_lookupUser(self, params: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        assert params["url"] == "https://www.flickr.com/photos/ada/"
        return {"user": {"id": OWNER}}

    def urls_lookupGroup(self, params: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        assert params["url"] == "https://www.flickr.com/groups/analog/"
        return {"group": {"id": "1@N1"}}

    def _page(self, photos: list[dict[str, Any]], params: dict[str, str]) -> dict[str, Any]:
        page, each = int(params["page"]), int(params["per_page"])
        start = (page - 1) * each % listings.MAX_RESULTS  # later pages repeat the first ones
        pages = -(-len(photos) // each)
        return {
            "page": page,
            "pages": pages,
            "perpage": each,
            "total": len(photos),
            "photo": photos[start : start + each],
        }


def fail(code: int, message: str) -> HttpResponse:
    return HttpResponse({"stat": "fail", "code": code, "message": message})


@pytest.fixture
def flickr() -> FakeFlickr:
    return FakeFlickr()


@pytest.fixture
def api(flickr: FakeFlickr, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with serve_api(flickr) as server:
        for name, value in (KEY | {"FLICKR_API_URL": f"{server.url}/services/rest/"}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("lightmeter.harvest.sources.rate_limit._FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr(listings, "MAX_RESULTS", 400)  # a tenth of Flickr's, to be quick
        yield server


def discover(cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting | Checkpoint]:
    return list(Flickr(Settings()).discover(Flickr.Query(**options), cursor))


def list_items(cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting]:
    return [item for item in discover(cursor, **options) if isinstance(item, Sighting)]


class TestListings:
    def test_search_result_becomes_item(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.photos = [photo(1)]
        (item,) = list_items(search="street", medium="film")
        assert item.source_id == "1"
        assert item.media_url == "https://live.staticflickr.com/65535/1_s3cret_o.jpg"
        assert item.page_url == f"https://www.flickr.com/photos/{OWNER}/1"
        assert (item.owner, item.licence, item.title) == (OWNER, "CC-BY-2.0", "Photo 1")
        assert item.attribution == "Photo 1 by Ada on Flickr"
        assert (item.tags, item.concepts, item.medium) == (("film", "leica"), ("street",), "film")
        assert item.published_at is not None

    def test_every_page_is_read(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.photos = [photo(number) for number in range(25)]
        assert len(list_items(search="x", per_page=10)) == 25

    def test_long_search_is_divided_by_upload_date(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.photos = [photo(number, FIRST_UPLOAD + 600_000 * number) for number in range(950)]
        ids = [item.source_id for item in list_items(search="x", per_page=50)]
        assert len(ids) == len(set(ids)) == 950

    def test_pages_beyond_the_limit_repeat_results(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.photos = [photo(number, FIRST_UPLOAD + 600_000 * number) for number in range(500)]
        plain = {item.source_id for item in list_items(search="x", per_page=50, pages=10)}
        assert len(plain) == 400

    def test_search_resumes_at_every_checkpoint(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.photos = [photo(number, FIRST_UPLOAD + 600_000 * number) for number in range(440)]
        results = discover(search="x", per_page=50)
        checkpoints = [index for index, item in enumerate(results) if isinstance(item, Checkpoint)]
        assert len(checkpoints) > 4
        for index in checkpoints[::4]:
            before = {item.source_id for item in results[:index] if isinstance(item, Sighting)}
            rest = {item.source_id for item in list_items(results[index].cursor, search="x", per_page=50)}
            assert not before & rest
            assert len(before | rest) == 440

    def test_page_options_select_pages(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.photos = [photo(number, FIRST_UPLOAD + 100 - number) for number in range(50)]
        ids = [item.source_id for item in list_items(search="x", start_page=2, pages=2, per_page=10)]
        assert ids == [str(number) for number in range(10, 30)]
        (last, *_) = [i for i in discover(search="x", start_page=2, pages=2, per_page=10) if isinstance(i, Checkpoint)]
        rest = list_items(last.cursor, search="x", start_page=2, pages=2, per_page=10)
        assert [item.source_id for item in rest] == [str(number) for number in range(20, 30)]

    def test_groups_albums_and_users_are_resolved_by_name(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.groups["1@N1"] = [photo(1), photo(2)]
        flickr.albums["77"] = [photo(3)]
        flickr.photos = [photo(4)]
        assert [item.source_id for item in list_items(group="analog")] == ["1", "2"]
        assert [(item.source_id, item.owner) for item in list_items(album="77", user="ada")] == [("3", OWNER)]
        assert [item.source_id for item in list_items(user=OWNER)] == ["4"]

    def test_tag_and_licence_filters_are_applied(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.photos = [photo(1), photo(2, tags="digital"), photo(3, license="0")]
        assert [item.source_id for item in list_items(search="x", filter_tag="digital")] == ["2"]
        assert [item.source_id for item in list_items(search="x", licence_ids="4,5")] == ["1", "2"]
        flickr.groups["1@N1"] = [photo(1), photo(2, license="0"), photo(3, media="video")]
        assert [item.source_id for item in list_items(group="1@N1", licence_ids="4")] == ["1"]

    def test_recorded_responses_are_read(self, flickr: FakeFlickr, api: ApiServer, shared: Path) -> None:
        recorded = json.loads((shared / "fixtures" / "flickr" / "search_openverse.json").read_text())
        flickr.photos = recorded["photos"]["photo"]
        items = list_items(search="église")
        assert len(items) == len({item.source_id for item in items}) == len(flickr.photos)
        assert {item.licence for item in items} <= {"CC-BY-NC-SA-2.0", "CC-BY-2.0", "CC-BY-SA-2.0", "CC0-1.0"}
        assert all(item.media_url and item.media_url.startswith("https://") for item in items)


class TestSizes:
    @pytest.mark.parametrize(
        ("size", "available", "nearest"),
        [
            ("o", "s z b o", "o"),
            ("o", "s z b", "b"),
            ("k", "b o", "b"),
            ("default", "s z", "z"),
            ("q", "m s", "s"),
            ("s", "", None),
        ],
    )
    def test_nearest_size_is_selected(self, size: str, available: str, nearest: str | None) -> None:
        assert nearest_size(size, set(available.split())) == nearest

    def test_every_documented_size_is_an_option(self, flickr: FakeFlickr, api: ApiServer) -> None:
        for size, name in SIZES.items():
            flickr.photos = [photo(1, **{f"url_{name}": f"https://live.staticflickr.com/1/1_x_{size}.jpg"})]
            assert list_items(search="x", size=size)[0].media_url == flickr.photos[0][f"url_{name}"]


class TestFiles:
    @pytest.fixture
    def photo_file(self, tmp_path: Path) -> Path:
        file = tmp_path / "photos.json"
        photo_record = {"id": "1", "secret": "abc", "server": "65535"}
        file.write_text(
            json.dumps({"animal,dog": [photo_record], "animal,cat": [photo_record | {"id": "2"}, {"id": "3"}]})
        )
        return file

    def test_urls_are_built_from_secrets_without_request(self, photo_file: Path, api: ApiServer) -> None:
        items = list_items(photos=photo_file, size="b")
        assert items[0].media_url == "https://live.staticflickr.com/65535/1_abc_b.jpg"
        assert [item.concepts for item in items] == [("animal", "dog"), ("animal", "cat"), ("animal", "cat")]
        assert len(api.requests) == 1  # for the one without a secret

    def test_large_sizes_are_requested(self, photo_file: Path, api: ApiServer) -> None:
        assert (
            list_items(photos=photo_file, size="o")[0].media_url == "https://live.staticflickr.com/65535/1_other_k.jpg"
        )

    def test_saved_photo_file_can_be_read(self, flickr: FakeFlickr, api: ApiServer, tmp_path: Path) -> None:
        flickr.photos = [photo(1), photo(2)]
        saved = tmp_path / "saved.json"
        list_items(search="dog", save_metadata=saved)
        flickr.photos = [photo(3)]
        list_items(search="cat", save_metadata=saved)
        assert json.loads(saved.read_text())["cat"] == [{"id": "3", "secret": "s3cret", "server": "65535"}]
        again = list_items(photos=saved, size="z")
        assert [(item.source_id, item.concepts) for item in again] == [
            ("1", ("dog",)),
            ("2", ("dog",)),
            ("3", ("cat",)),
        ]

    @pytest.mark.parametrize("content", ["", "3", '{"dog": 3}', "[" * 100_000])
    def test_other_content_raises_error(self, content: str, tmp_path: Path) -> None:
        file = tmp_path / "photos.json"
        file.write_text(content)
        with pytest.raises(UsageError, match=r"photos\.json"):
            list_items(photos=file)


class TestExif:
    def test_tags_are_added_to_item(self, flickr: FakeFlickr, api: ApiServer, shared: Path) -> None:
        flickr.photos = [photo(1)]
        flickr.exif["1"] = json.loads((shared / "fixtures/flickr/json_converted/getexif_clean.json").read_text())
        (item,) = list_items(search="x", exif=True)
        assert item.exif_origin == "api"
        values = normalise(item.exif)  # type: ignore[arg-type]
        assert (values.f_number, values.exposure_time_s, values.iso) == (1.8, 1 / 50, 250)
        assert (values.make, values.model) == ("Apple", "iPhone 13 Pro")

    def test_hidden_exif_is_recorded(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.photos = [photo(1)]
        flickr.errors["photos_getExif"] = fail(2, "Permission denied")
        (item,) = list_items(search="x", exif=True)
        assert item.exif is None
        assert item.metadata["exif"] == "hidden by the owner"


class TestFailures:
    @pytest.mark.parametrize(
        "failure",
        [
            HttpResponse(b"slow down", 429, {"Retry-After": "0"}),
            HttpResponse(b"oops", 503),
            HttpResponse(b"<html>", 200),
            HttpResponse({"stat": "ok"}, content_length=9999),
            fail(105, "Service currently unavailable"),
        ],
        ids=["429", "503", "no JSON", "cut", "105"],
    )
    def test_temporary_failure_is_retried(self, flickr: FakeFlickr, api: ApiServer, failure: HttpResponse) -> None:
        flickr.photos = [photo(1)]
        flickr.failures = [failure]
        assert len(list_items(search="x")) == 1

    def test_permanent_failure_raises_error(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.failures = [HttpResponse(b"", 503)] * 99
        with pytest.raises(LightmeterError, match="Flickr did not answer after 6 attempts"):
            list_items(search="x")

    def test_invalid_key_raises_error(
        self, flickr: FakeFlickr, api: ApiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLICKR_API_KEY", "wrong")
        with pytest.raises(LightmeterError, match="FLICKR_API_KEY") as raised:
            list_items(search="x")
        assert KEY["FLICKR_API_SECRET"] not in str(raised.value)

    def test_missing_key_raises_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FLICKR_API_KEY", raising=False)
        with pytest.raises(UsageError, match="set FLICKR_API_KEY and FLICKR_API_SECRET"):
            list_items(search="x")

    def test_debug_log_contains_no_key(
        self, flickr: FakeFlickr, api: ApiServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        flickr.photos = [photo(1)]
        with caplog.at_level("DEBUG"):
            list_items(search="x")
        assert caplog.text
        assert "nobody-may-see" not in caplog.text

    def test_unknown_group_raises_error(self, flickr: FakeFlickr, api: ApiServer) -> None:
        flickr.failures = [fail(1, "Group not found")]
        with pytest.raises(LightmeterError, match="Group not found"):
            list_items(group="1@N1")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"search": "x", "group": "y"},
        {"album": "7"},
        {"search": "x", "licence_ids": "99"},
        {"search": "x", "size": "xl"},
    ],
)
def test_invalid_query_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Query"):
        Flickr.Query(**options)


def test_harvest_run_fills_catalogue(
    flickr: FakeFlickr, api: ApiServer, lightmeter: CommandRunner, project: Path, shared: Path
) -> None:
    with serve_api(
        lambda request: (
            HttpResponse(jpeg(len(request.path)), headers={"Content-Type": "image/jpeg"})
            if request.path.endswith("jpg")
            else HttpResponse(b"", 404)
        )
    ) as media:
        flickr.photos = [photo(n, url_o=f"{media.url}/{'x' * n}.jpg") for n in (1, 2, 3)]
        hidden = {"photo": {"exif": []}}
        flickr.exif = {"1": hidden, "2": hidden, "3": hidden}
        counts = lightmeter("harvest", "run", "flickr", "--search", "street", "--exif", env=LOOPBACK)
        assert (counts["found"], counts["fetched"]) == (3, 3)
        again = lightmeter("harvest", "run", "flickr", "--search", "street", env=LOOPBACK)
        assert (again["found"], again["existing"]) == (0, 3)
        assert len([request for request in media.requests if request.path.endswith("jpg")]) == 3
    everything = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert KEY["FLICKR_API_KEY"].encode() not in everything
    assert KEY["FLICKR_API_SECRET"].encode() not in everything
