"""The source ``flickr``: flickrapi itself, against a server that speaks Flickr's protocol."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flickrapi")

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.exif import normalise
from lightmeter.harvest.sources import Checkpoint, PhotoItem
from lightmeter.harvest.sources.flickr import Flickr, listings
from lightmeter.harvest.sources.flickr.listings import FIRST_UPLOAD
from lightmeter.harvest.sources.flickr.photos import SIZES, nearest_size
from lightmeter.settings import Settings
from tests.harvest.sources.api import Api, Asked, Reply, serving
from tests.support import Lightmeter, jpeg

OWNER = "12345678@N00"
KEY = {"FLICKR_API_KEY": "a-key-nobody-may-see", "FLICKR_API_SECRET": "a-secret-nobody-may-see"}


def photo(number: int, uploaded: int = FIRST_UPLOAD + 1000, **more: Any) -> dict[str, Any]:
    """A photograph as flickr.photos.search with extras tells it."""
    base = f"https://live.staticflickr.com/65535/{number}_s3cret"
    return {
        "id": str(number), "owner": OWNER, "ownername": "Ada", "secret": "s3cret", "server": "65535", "media": "photo",
        "title": f"Photo {number}", "license": "4", "dateupload": str(uploaded), "tags": "film leica",
        "url_z": f"{base}_z.jpg", "url_l": f"{base}_b.jpg", "url_o": f"{base}_o.jpg", **more,
    }  # fmt: skip


class FakeFlickr:
    """Flickr, as far as its documentation says what it does.

    Attributes:
        photos: that it has.
        groups: photographs by group.
        albums: photographs by album.
        exif: getExif's answer by photograph.
        troubles: replies to give before the real ones.
        refused: replies by method, instead of the real ones.
    """

    def __init__(self) -> None:
        self.photos: list[dict[str, Any]] = []
        self.groups: dict[str, list[dict[str, Any]]] = {}
        self.albums: dict[str, list[dict[str, Any]]] = {}
        self.exif: dict[str, Any] = {}
        self.troubles: list[Reply] = []
        self.refused: dict[str, Reply] = {}

    def __call__(self, asked: Asked) -> Reply:
        if self.troubles:
            return self.troubles.pop(0)
        signed = asked.headers.get("Authorization", "") + str(asked.words)
        if KEY["FLICKR_API_KEY"] not in signed:
            return fail(100, "Invalid API Key (Key has invalid format)")
        method = asked.words["method"].removeprefix("flickr.").replace(".", "_")
        if method in self.refused:
            return self.refused[method]
        return Reply(getattr(self, method)(asked.words) | {"stat": "ok"}) if hasattr(self, method) else fail(112, "?")

    def photos_search(self, words: dict[str, str]) -> dict[str, Any]:
        low, high = int(words.get("min_upload_date", 0)), int(words.get("max_upload_date", 2**40))
        found = [p for p in self.photos if low <= int(p["dateupload"]) <= high]
        if "tags" in words:
            found = [p for p in found if words["tags"] in p["tags"].split()]
        if "license" in words:
            found = [p for p in found if p["license"] in words["license"].split(",")]
        return {"photos": self._page(sorted(found, key=lambda p: -int(p["dateupload"])), words)}

    def groups_pools_getPhotos(self, words: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        return {"photos": self._page(self.groups[words["group_id"]], words)}

    def photosets_getPhotos(self, words: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        nobody = [{key: value for key, value in p.items() if key != "owner"} for p in self.albums[words["photoset_id"]]]
        return {"photoset": self._page(nobody, words) | {"owner": words["user_id"]}}

    def photos_getExif(self, words: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        return self.exif[words["photo_id"]]

    def photos_getSizes(self, words: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        base = f"https://live.staticflickr.com/65535/{words['photo_id']}_"
        sources = [f"{base}s3cret_s.jpg", f"{base}s3cret.jpg", f"{base}other_k.jpg"]
        return {"sizes": {"size": [{"label": "?", "source": source} for source in sources]}}

    def urls_lookupUser(self, words: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        assert words["url"] == "https://www.flickr.com/photos/ada/"
        return {"user": {"id": OWNER}}

    def urls_lookupGroup(self, words: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        assert words["url"] == "https://www.flickr.com/groups/analog/"
        return {"group": {"id": "1@N1"}}

    def _page(self, found: list[dict[str, Any]], words: dict[str, str]) -> dict[str, Any]:
        page, each = int(words["page"]), int(words["per_page"])
        start = (page - 1) * each % listings.MAX_RESULTS  # beyond, it repeats itself
        pages = -(-len(found) // each)
        return {
            "page": page,
            "pages": pages,
            "perpage": each,
            "total": len(found),
            "photo": found[start : start + each],
        }


def fail(code: int, message: str) -> Reply:
    return Reply({"stat": "fail", "code": code, "message": message})


@pytest.fixture
def flickr() -> FakeFlickr:
    return FakeFlickr()


@pytest.fixture
def api(flickr: FakeFlickr, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with serving(flickr) as server:
        for name, value in (KEY | {"FLICKR_API_URL": f"{server.url}/services/rest/"}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("lightmeter.harvest.sources.rate_limit._FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr(listings, "MAX_RESULTS", 400)  # a tenth of Flickr's, to be quick
        yield server


def discover(cursor: dict[str, Any] | None = None, **options: Any) -> list[PhotoItem | Checkpoint]:
    return list(Flickr(Settings()).discover(Flickr.Query(**options), cursor))


def sightings(cursor: dict[str, Any] | None = None, **options: Any) -> list[PhotoItem]:
    return [item for item in discover(cursor, **options) if isinstance(item, PhotoItem)]


class TestListings:
    def test_a_search_yields_what_flickr_tells(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.photos = [photo(1)]
        (found,) = sightings(search="street", medium="film")
        assert found.source_id == "1"
        assert found.media_url == "https://live.staticflickr.com/65535/1_s3cret_o.jpg"
        assert found.page_url == f"https://www.flickr.com/photos/{OWNER}/1"
        assert (found.owner, found.licence, found.title) == (OWNER, "CC-BY-2.0", "Photo 1")
        assert found.attribution == "Photo 1 by Ada on Flickr"
        assert (found.tags, found.concepts, found.medium) == (("film", "leica"), ("street",), "film")
        assert found.published_at is not None

    def test_every_page_is_read(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.photos = [photo(number) for number in range(25)]
        assert len(sightings(search="x", per_page=10)) == 25

    def test_a_search_beyond_what_flickr_shows_is_cut_by_upload_date(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.photos = [photo(number, FIRST_UPLOAD + 600_000 * number) for number in range(950)]
        ids = [found.source_id for found in sightings(search="x", per_page=50)]
        assert len(ids) == len(set(ids)) == 950

    def test_pages_alone_would_not_have_shown_them_all(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.photos = [photo(number, FIRST_UPLOAD + 600_000 * number) for number in range(500)]
        plain = {found.source_id for found in sightings(search="x", per_page=50, pages=10)}
        assert len(plain) == 400

    def test_a_search_goes_on_at_any_of_its_checkpoints(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.photos = [photo(number, FIRST_UPLOAD + 600_000 * number) for number in range(440)]
        whole = discover(search="x", per_page=50)
        places = [index for index, item in enumerate(whole) if isinstance(item, Checkpoint)]
        for place in places[::4]:
            seen = {item.source_id for item in whole[:place] if isinstance(item, PhotoItem)}
            rest = {found.source_id for found in sightings(whole[place].cursor, search="x", per_page=50)}
            assert not seen & rest
            assert len(seen | rest) == 440

    def test_page_options(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.photos = [photo(number, FIRST_UPLOAD + 100 - number) for number in range(50)]
        ids = [found.source_id for found in sightings(search="x", start_page=2, pages=2, per_page=10)]
        assert ids == [str(number) for number in range(10, 30)]
        (last, *_) = [i for i in discover(search="x", start_page=2, pages=2, per_page=10) if isinstance(i, Checkpoint)]
        rest = sightings(last.cursor, search="x", start_page=2, pages=2, per_page=10)
        assert [found.source_id for found in rest] == [str(number) for number in range(20, 30)]

    def test_groups_albums_and_users_by_name(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.groups["1@N1"] = [photo(1), photo(2)]
        flickr.albums["77"] = [photo(3)]
        flickr.photos = [photo(4)]
        assert [found.source_id for found in sightings(group="analog")] == ["1", "2"]
        assert [(found.source_id, found.owner) for found in sightings(album="77", user="ada")] == [("3", OWNER)]
        assert [found.source_id for found in sightings(user=OWNER)] == ["4"]

    def test_filters(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.photos = [photo(1), photo(2, tags="digital"), photo(3, license="0")]
        assert [found.source_id for found in sightings(search="x", filter_tag="digital")] == ["2"]
        assert [found.source_id for found in sightings(search="x", licence_ids="4,5")] == ["1", "2"]
        flickr.groups["1@N1"] = [photo(1), photo(2, license="0"), photo(3, media="video")]
        assert [found.source_id for found in sightings(group="1@N1", licence_ids="4")] == ["1"]

    def test_recorded_answers_are_understood(self, flickr: FakeFlickr, api: Api, shared: Path) -> None:
        recorded = json.loads((shared / "fixtures" / "flickr" / "search_openverse.json").read_text())
        flickr.photos = recorded["photos"]["photo"]
        found = sightings(search="église")
        assert len(found) == len({item.source_id for item in found}) == len(flickr.photos)
        assert {item.licence for item in found} <= {"CC-BY-NC-SA-2.0", "CC-BY-2.0", "CC-BY-SA-2.0", "CC0-1.0"}
        assert all(item.media_url and item.media_url.startswith("https://") for item in found)


class TestSizes:
    @pytest.mark.parametrize(
        ("wanted", "there", "chosen"),
        [
            ("o", "s z b o", "o"),
            ("o", "s z b", "b"),
            ("k", "b o", "b"),
            ("default", "s z", "z"),
            ("q", "m s", "s"),
            ("s", "", None),
        ],
    )
    def test_the_nearest_that_exists(self, wanted: str, there: str, chosen: str | None) -> None:
        assert nearest_size(wanted, set(there.split())) == chosen

    def test_every_documented_size_can_be_asked_for(self, flickr: FakeFlickr, api: Api) -> None:
        for size, name in SIZES.items():
            flickr.photos = [photo(1, **{f"url_{name}": f"https://live.staticflickr.com/1/1_x_{size}.jpg"})]
            assert sightings(search="x", size=size)[0].media_url == flickr.photos[0][f"url_{name}"]


class TestFiles:
    @pytest.fixture
    def listed(self, tmp_path: Path) -> Path:
        file = tmp_path / "photos.json"
        known = {"id": "1", "secret": "abc", "server": "65535"}
        file.write_text(json.dumps({"animal,dog": [known], "animal,cat": [known | {"id": "2"}, {"id": "3"}]}))
        return file

    def test_addresses_are_made_from_secrets_without_asking_flickr(self, listed: Path, api: Api) -> None:
        found = sightings(photos=listed, size="b")
        assert found[0].media_url == "https://live.staticflickr.com/65535/1_abc_b.jpg"
        assert [item.concepts for item in found] == [("animal", "dog"), ("animal", "cat"), ("animal", "cat")]
        assert len(api.asked) == 1  # for the one without a secret

    def test_large_sizes_are_asked_for(self, listed: Path, api: Api) -> None:
        assert sightings(photos=listed, size="o")[0].media_url == "https://live.staticflickr.com/65535/1_other_k.jpg"

    def test_what_is_saved_can_be_read_again(self, flickr: FakeFlickr, api: Api, tmp_path: Path) -> None:
        flickr.photos = [photo(1), photo(2)]
        saved = tmp_path / "saved.json"
        sightings(search="dog", save_metadata=saved)
        flickr.photos = [photo(3)]
        sightings(search="cat", save_metadata=saved)
        assert json.loads(saved.read_text())["cat"] == [{"id": "3", "secret": "s3cret", "server": "65535"}]
        again = sightings(photos=saved, size="z")
        assert [(item.source_id, item.concepts) for item in again] == [
            ("1", ("dog",)),
            ("2", ("dog",)),
            ("3", ("cat",)),
        ]

    @pytest.mark.parametrize("content", ["", "3", '{"dog": 3}', '[{"secret": "x"}]', '{"dog": ["1"]}'])
    def test_another_form_is_one_sentence(self, content: str, tmp_path: Path) -> None:
        file = tmp_path / "photos.json"
        file.write_text(content)
        with pytest.raises(UsageError, match=r"photos\.json"):
            sightings(photos=file)


class TestExif:
    def test_tags_reach_the_sighting(self, flickr: FakeFlickr, api: Api, shared: Path) -> None:
        flickr.photos = [photo(1)]
        flickr.exif["1"] = json.loads((shared / "fixtures/flickr/json_converted/getexif_clean.json").read_text())
        (found,) = sightings(search="x", exif=True)
        assert found.exif_origin == "api"
        values = normalise(found.exif)  # type: ignore[arg-type]
        assert (values.f_number, values.exposure_time_s, values.iso) == (1.8, 1 / 50, 250)
        assert (values.make, values.model) == ("Apple", "iPhone 13 Pro")

    def test_an_owner_may_hide_them(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.photos = [photo(1)]
        flickr.refused["photos_getExif"] = fail(2, "Permission denied")
        (found,) = sightings(search="x", exif=True)
        assert found.exif is None
        assert found.metadata["exif"] == "hidden by the owner"


class TestTroubles:
    @pytest.mark.parametrize(
        "trouble",
        [
            Reply(b"slow down", 429, {"Retry-After": "0"}),
            Reply(b"oops", 503),
            Reply(b"<html>", 200),
            Reply({"stat": "ok"}, promised=9999),
            fail(105, "Service currently unavailable"),
        ],
        ids=["429", "503", "no JSON", "cut", "105"],
    )
    def test_a_passing_one_is_waited_out(self, flickr: FakeFlickr, api: Api, trouble: Reply) -> None:
        flickr.photos = [photo(1)]
        flickr.troubles = [trouble]
        assert len(sightings(search="x")) == 1

    def test_a_lasting_one_ends_the_run_with_a_sentence(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.troubles = [Reply(b"", 503)] * 99
        with pytest.raises(LightmeterError, match="Flickr did not answer after 6 attempts"):
            sightings(search="x")

    def test_a_wrong_key(self, flickr: FakeFlickr, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLICKR_API_KEY", "wrong")
        with pytest.raises(LightmeterError, match="FLICKR_API_KEY") as raised:
            sightings(search="x")
        assert KEY["FLICKR_API_SECRET"] not in str(raised.value)

    def test_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FLICKR_API_KEY", raising=False)
        with pytest.raises(UsageError, match="set FLICKR_API_KEY and FLICKR_API_SECRET"):
            sightings(search="x")

    def test_the_most_talkative_log_holds_no_key(
        self, flickr: FakeFlickr, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        flickr.photos = [photo(1)]
        with caplog.at_level("DEBUG"):
            sightings(search="x")
        assert caplog.text
        assert "nobody-may-see" not in caplog.text

    def test_a_group_that_does_not_exist(self, flickr: FakeFlickr, api: Api) -> None:
        flickr.troubles = [fail(1, "Group not found")]
        with pytest.raises(LightmeterError, match="Group not found"):
            sightings(group="1@N1")


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
def test_a_wrong_query_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Query"):
        Flickr.Query(**options)


def test_from_the_command_line_to_the_catalogue(
    flickr: FakeFlickr, api: Api, lightmeter: Lightmeter, project: Path, shared: Path
) -> None:
    with serving(
        lambda asked: (
            Reply(jpeg(len(asked.path)), headers={"Content-Type": "image/jpeg"})
            if asked.path.endswith("jpg")
            else Reply(b"", 404)
        )
    ) as media:
        flickr.photos = [photo(n, url_o=f"{media.url}/{'x' * n}.jpg") for n in (1, 2, 3)]
        hidden = {"photo": {"exif": []}}
        flickr.exif = {"1": hidden, "2": hidden, "3": hidden}
        env = {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true"}
        counts = lightmeter("harvest", "run", "flickr", "--search", "street", "--exif", env=env)
        assert (counts["found"], counts["fetched"]) == (3, 3)
        again = lightmeter("harvest", "run", "flickr", "--search", "street", env=env)
        assert (again["found"], again["existing"]) == (0, 3)
        assert len([asked for asked in media.asked if asked.path.endswith("jpg")]) == 3
    everything = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert KEY["FLICKR_API_KEY"].encode() not in everything
    assert KEY["FLICKR_API_SECRET"].encode() not in everything
