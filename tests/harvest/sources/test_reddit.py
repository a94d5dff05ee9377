"""Tests of the source ``reddit`` with PRAW, against a server that imitates Reddit's API, and with dumps."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("praw")

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.crawl.photo_fetcher import is_placeholder
from lightmeter.harvest.sources.base import Checkpoint, Sighting
from lightmeter.harvest.sources.reddit import Reddit
from lightmeter.harvest.sources.reddit.posts import post_to_items, title_tags
from lightmeter.settings import Settings
from tests.harvest.sources.api import ApiServer, serve_api
from tests.support import LOOPBACK, CommandRunner, HttpRequest, HttpResponse, jpeg

KEY = {"REDDIT_CLIENT_ID": "an-id-nobody-may-see", "REDDIT_CLIENT_SECRET": "a-secret-nobody-may-see"}


def post(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"p{number}", "name": f"t3_p{number}", "subreddit": "analog", "author": "ada", "title": f"Fog {number}",
        "url": f"https://i.redd.it/{number}.jpg", "permalink": f"/r/analog/comments/p{number}/fog/",
        "created_utc": 1_600_000_000.0 + number, "is_self": False, "is_video": False, **more,
    }  # fmt: skip


class FakeReddit:
    """Reddit's API: a token for the right key, and lists of at most a thousand posts, a hundred per page."""

    def __init__(self) -> None:
        self.listings: dict[str, list[dict[str, Any]]] = {}
        self.failures: list[HttpResponse] = []

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/api/v1/access_token":
            sent = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
            is_valid = sent == ":".join(KEY.values())
            token = {"access_token": "token", "token_type": "bearer", "expires_in": 3600, "scope": "*"}
            return HttpResponse(token) if is_valid else HttpResponse({"error": 401}, 401)
        assert request.headers["Authorization"] == "bearer token"
        if self.failures:
            return self.failures.pop(0)
        name = request.path.removeprefix("/r/analog/").removesuffix("/")
        posts = self.listings.get(f"{name} {request.params.get('t', '') if name == 'top' else ''}".strip(), [])[:1000]
        start = next((i + 1 for i, p in enumerate(posts) if p["name"] == request.params.get("after")), 0)
        page = posts[start : start + min(int(request.params.get("limit", 25)), 100)]
        more = page[-1]["name"] if page and start + len(page) < len(posts) else None
        children = [{"kind": "t3", "data": post} for post in page]
        return HttpResponse(
            {"kind": "Listing", "data": {"children": children, "after": more, "before": None, "dist": len(page)}}
        )


@pytest.fixture
def reddit() -> FakeReddit:
    return FakeReddit()


@pytest.fixture
def api(reddit: FakeReddit, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with serve_api(reddit) as server:
        for name, value in (KEY | {"REDDIT_URL": server.url}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("lightmeter.harvest.sources.rate_limit._FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr("prawcore.sessions.time.sleep", lambda _: None)
        yield server


def discover(cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting | Checkpoint]:
    return list(Reddit(Settings()).discover(Reddit.Query(**({"subreddit": "analog"} | options)), cursor))


def list_items(cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting]:
    return [item for item in discover(cursor, **options) if isinstance(item, Sighting)]


class TestListings:
    def test_all_lists_are_combined(self, reddit: FakeReddit, api: ApiServer) -> None:
        reddit.listings = {
            "new": [post(1), post(2)],
            "hot": [post(3)],
            "rising": [post(4)],
            "top year": [post(5)],
            "top all": [post(6)],
        }
        assert {item.source_id for item in list_items()} == {f"p{n}" for n in range(1, 7)}

    def test_list_is_read_to_its_end(self, reddit: FakeReddit, api: ApiServer) -> None:
        reddit.listings["new"] = [post(number) for number in range(250)]
        assert len(list_items()) == 250

    def test_search_is_read_in_every_order(self, reddit: FakeReddit, api: ApiServer) -> None:
        reddit.listings["search"] = [post(1)]
        items = list_items(search="leica")
        assert {item.concepts for item in items} == {("leica",)}
        orders = {request.params["sort"] for request in api.requests if request.path.endswith("/search/")}
        assert orders == {"new", "relevance", "top", "comments"}

    def test_post_becomes_item(self, reddit: FakeReddit, api: ApiServer) -> None:
        reddit.listings["new"] = [post(1, title="Fog [Leica M6 | Portra 400]", link_flair_text="Community")]
        (item,) = list_items()
        assert (item.source_id, item.owner, item.media_url) == ("p1", "ada", "https://i.redd.it/1.jpg")
        assert item.page_url == "https://www.reddit.com/r/analog/comments/p1/fog/"
        assert item.tags == ("community", "leica m6", "portra 400")
        assert item.attribution == "Fog [Leica M6 | Portra 400] by u/ada on Reddit"
        assert item.published_at is not None
        assert item.licence is None  # a post gives none

    def test_analog_is_film_by_default(self, reddit: FakeReddit, api: ApiServer) -> None:
        reddit.listings["new"] = [post(1)]
        assert list_items()[0].medium == "film"
        assert list_items(medium="digital")[0].medium == "digital"

    def test_discovery_resumes_at_checkpoint(self, reddit: FakeReddit, api: ApiServer) -> None:
        reddit.listings = {"new": [post(1)], "hot": [post(2)], "top all": [post(3)]}
        first = next(item for item in discover() if isinstance(item, Checkpoint))
        assert {item.source_id for item in list_items(first.cursor)} == {"p2", "p3"}


class TestPosts:
    @pytest.mark.parametrize(
        ("url", "image_url"),
        [
            ("https://i.redd.it/abc.jpg", "https://i.redd.it/abc.jpg"),
            ("http://i.imgur.com/9nqsi0r.jpg", "http://i.imgur.com/9nqsi0r.jpg"),
            ("http://imgur.com/AmWThvw", "https://i.imgur.com/AmWThvw.jpg"),
            ("https://www.imgur.com/bcvSSgM.jpg", "https://www.imgur.com/bcvSSgM.jpg"),
            ("https://farm1.staticflickr.com/691/20664938416_4e4b224684_h.jpg",) * 2,
            ("http://imgur.com/a/x1y2z3", None),
            ("http://imgur.com/gallery/x1y2z3", None),
            ("https://i.imgur.com/abcdefg.gifv", None),
            ("https://v.redd.it/abc", None),
            ("https://example.org/a-page", None),
            ("javascript:alert(1).jpg", None),
        ],
    )
    def test_image_url_is_extracted_from_the_link(self, url: str, image_url: str | None) -> None:
        assert [item.media_url for item in post_to_items(post(1, url=url), None, ())] == [image_url] * bool(image_url)

    def test_preview_replaces_unavailable_original(self) -> None:
        preview = {"images": [{"source": {"url": "https://preview.redd.it/x.jpg?auto=webp&amp;s=1"}}]}
        (item,) = post_to_items(post(1, url="https://example.org/page", post_hint="link", preview=preview), None, ())
        assert item.media_url == "https://preview.redd.it/x.jpg?auto=webp&s=1"
        assert item.metadata["preview"] is True

    def test_gallery_yields_its_images(self) -> None:
        media = {
            "aa": {"status": "valid", "e": "Image", "m": "image/jpg"},
            "bb": {"status": "valid", "e": "Image", "m": "image/png"},
            "cc": {"status": "failed"},
            "dd": {"status": "valid", "e": "AnimatedImage", "m": "image/gif"},
        }
        items = {"items": [{"media_id": name} for name in ("bb", "aa", "cc", "dd")]}
        images = list(post_to_items(post(1, is_gallery=True, gallery_data=items, media_metadata=media), None, ()))
        assert [item.media_url for item in images] == [
            "https://i.redd.it/bb.png",
            "https://i.redd.it/aa.jpg",
            None,
            None,
        ]
        assert [item.source_id for item in images] == ["p1-bb", "p1-aa", "p1-cc", "p1-dd"]
        assert [item.gone for item in images] == [None, None, "gallery image is gone", "gallery image is gone"]
        assert [item.metadata["gallery_index"] for item in images] == [1, 2, 3, 4]

    def test_crosspost_counts_as_original_post(self) -> None:
        crosspost = post(2, author="bob", crosspost_parent_list=[post(1)])
        (item,) = post_to_items(crosspost, None, ())
        assert (item.source_id, item.owner) == ("p1", "ada")

    def test_removed_posts_are_gone(self) -> None:
        (item,) = post_to_items(post(1, removed_by_category="moderator"), None, ())
        assert (item.gone, item.media_url) == ("removed by moderator", None)

    def test_deleted_author_is_no_owner(self) -> None:
        (item,) = post_to_items(post(1, author="[deleted]"), None, ())
        assert (item.owner, item.attribution) == (None, None)

    @pytest.mark.parametrize(
        ("name", "minimum"),
        [("listing_hidden", 60), ("listing_top", 90), ("moderation_spam", 5), ("submit_gallery", 4)],
    )
    def test_recorded_responses_are_read(self, shared: Path, name: str, minimum: int) -> None:
        items = recorded_items(shared, name)
        ids = [item.source_id for item in items]
        assert len(ids) == len(set(ids)) >= minimum
        assert all(item.gone or str(item.media_url).startswith("http") for item in items)

    @pytest.mark.parametrize("name", ["crosspost_1", "crosspost_2"])
    def test_text_post_has_no_photograph(self, shared: Path, name: str) -> None:
        assert recorded_items(shared, name) == []


def recorded_items(shared: Path, name: str) -> list[Sighting]:
    """Return the items of a recorded listing."""
    recorded = json.loads((shared / "fixtures" / "reddit" / f"{name}.json").read_text())
    listing = recorded[0] if isinstance(recorded, list) else recorded
    return [item for child in listing["data"]["children"] for item in post_to_items(child["data"], None, ())]


@pytest.mark.parametrize(
    ("title", "tags"),
    [
        ("Fog [Leica M6, Summicron 35mm f/2, Portra 400]", ("leica m6", "summicron 35mm f/2", "portra 400")),
        ("Harbour (Canon AE-1 / 50mm / Kodak Gold 200)", ("canon ae-1", "50mm", "kodak gold 200")),
        ("Shot on Ilford HP5+ last winter", ("ilford hp5+",)),
        ("Night, Cinestill 800T", ("cinestill 800t",)),
        ("Valley [OC][5178 x 2912]", ()),
        ("No brackets, no film", ()),
    ],
)
def test_title_contains_camera_and_film(title: str, tags: tuple[str, ...]) -> None:
    assert title_tags(title) == tags


class TestFailures:
    @pytest.mark.parametrize(
        "failure",
        [HttpResponse({}, 429, {"Retry-After": "0"}), HttpResponse({}, 503), HttpResponse({}, content_length=999)],
    )
    def test_temporary_failure_is_retried(self, reddit: FakeReddit, api: ApiServer, failure: HttpResponse) -> None:
        reddit.listings["new"] = [post(1)]
        reddit.failures = [failure]
        assert len(list_items()) == 1

    @pytest.mark.parametrize(("status", "message"), [(403, "private"), (404, "no such subreddit")])
    def test_unreadable_subreddit_raises_error(
        self, reddit: FakeReddit, api: ApiServer, status: int, message: str
    ) -> None:
        reddit.failures = [HttpResponse({}, status)]
        with pytest.raises(LightmeterError, match=message):
            list_items()

    def test_invalid_key_raises_error(self, api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDDIT_CLIENT_ID", "wrong")
        with pytest.raises(LightmeterError, match="REDDIT_CLIENT_ID"):
            list_items()

    def test_debug_log_contains_no_key(
        self, reddit: FakeReddit, api: ApiServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        reddit.listings["new"] = [post(1)]
        with caplog.at_level("DEBUG"):
            list_items()
        assert caplog.text
        assert "nobody-may-see" not in caplog.text

    def test_missing_key_raises_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("REDDIT_CLIENT_ID", raising=False)
        with pytest.raises(UsageError, match="--dump"):
            list_items()


class TestDumps:
    @pytest.fixture
    def lines(self) -> bytes:
        other = post(3, subreddit="pics")
        posts = [post(1), other, post(2, subreddit="Analog", created_utc="1600000002")]
        return b"\n".join([*(json.dumps(post).encode() for post in posts), b"{cut", b"3"])

    @pytest.mark.parametrize("suffix", ["jsonl", "gz", "zst"])
    def test_dump_needs_no_key(self, lines: bytes, tmp_path: Path, suffix: str) -> None:
        file = tmp_path / f"dump.{suffix}"
        if suffix == "zst":
            zstd = pytest.importorskip("backports.zstd")
            lines = zstd.compress(lines)
        file.write_bytes(gzip.compress(lines) if suffix == "gz" else lines)
        items = list_items(dump=file)
        assert [item.source_id for item in items] == ["p1", "p2"]
        assert {item.medium for item in items} == {"film"}

    def test_dump_resumes_at_checkpoint(self, tmp_path: Path) -> None:
        file = tmp_path / "dump.jsonl"
        file.write_text("\n".join(json.dumps(post(number)) for number in range(1200)))
        checkpoints = [index for index, item in enumerate(discover(dump=file)) if isinstance(item, Checkpoint)]
        results = discover(dump=file)
        before = [item.source_id for item in results[: checkpoints[0]] if isinstance(item, Sighting)]
        rest = [item.source_id for item in list_items(results[checkpoints[0]].cursor, dump=file)]
        assert before + rest == [f"p{number}" for number in range(1200)]

    def test_damaged_dump_raises_error(self, lines: bytes, tmp_path: Path) -> None:
        file = tmp_path / "dump.gz"
        file.write_bytes(gzip.compress(lines)[:-30])
        with pytest.raises(UsageError, match=r"dump\.gz"):
            list_items(dump=file)


def test_placeholders_are_recognised_by_url_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_placeholder("https://i.imgur.com/removed.png", b"image")
    assert not is_placeholder("https://i.imgur.com/abc.png", b"image")
    md5 = hashlib.md5(b"image", usedforsecurity=False).hexdigest()
    monkeypatch.setattr("lightmeter.harvest.crawl.photo_fetcher._PLACEHOLDER_MD5", {md5})
    assert is_placeholder("https://i.imgur.com/abc.png", b"image")


def test_harvest_run_fills_catalogue(lightmeter: CommandRunner, project: Path, tmp_path: Path) -> None:
    with serve_api(
        lambda request: HttpResponse(
            jpeg(int(request.path[1])) if "jpg" in request.path else b"", 200 if "jpg" in request.path else 404
        )
    ) as media:
        posts = [
            post(1, url=f"{media.url}/1.jpg"),
            post(2, url=f"{media.url}/2.jpg"),
            post(3, removed_by_category="moderator"),
        ]
        file = tmp_path / "dump.jsonl"
        file.write_text("\n".join(json.dumps(post) for post in posts))
        counts = lightmeter("harvest", "run", "reddit", "analog", "--dump", file, env=LOOPBACK)
        assert {name: counts[name] for name in ("found", "fetched", "gone")} == {"found": 3, "fetched": 2, "gone": 1}
        again = lightmeter("harvest", "run", "reddit", "analog", "--dump", file, env=LOOPBACK)
        assert (again["found"], again["existing"]) == (0, 3)
