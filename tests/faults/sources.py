"""Every kind of source with mutated records between good ones, as files or as responses of an API on loopback."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harvest.sources.api import serve_api
from tests.harvest.sources.mutations import as_json, hostile_name, mutate
from tests.support import HttpRequest, HttpResponse

Records = list[Any]
KEYS = {
    "FLICKR_API_KEY": "k",
    "FLICKR_API_SECRET": "s",
    "REDDIT_CLIENT_ID": "k",
    "REDDIT_CLIENT_SECRET": "s",
    "LIGHTMETER_CRAWL__CONTACT": "ada@example.org",
}


def flickr_photo(number: int) -> dict[str, Any]:
    base = f"https://live.staticflickr.com/65535/{number}_s3cret"
    return {
        "id": str(number), "owner": "1@N00", "ownername": "Ada", "secret": "s3cret", "server": "65535", "license": "4",
        "title": f"Photo {number}", "dateupload": "1600000000", "tags": "film leica", "url_o": f"{base}_o.jpg",
    }  # fmt: skip


def reddit_post(number: int) -> dict[str, Any]:
    post = {
        "id": f"p{number}", "name": f"t3_p{number}", "subreddit": "analog", "author": "ada", "title": "Fog [Leica | x]",
        "url": f"https://i.redd.it/{number}.jpg", "permalink": f"/r/analog/{number}/", "created_utc": 1_600_000_000,
        "link_flair_text": "Community", "preview": {"images": [{"source": {"url": "https://preview.redd.it/1.jpg"}}]},
    }  # fmt: skip
    if number % 3 == 0:
        media = {f"m{number}": {"status": "valid", "e": "Image", "m": "image/jpg"}}
        post |= {"is_gallery": True, "gallery_data": {"items": [{"media_id": f"m{number}"}]}, "media_metadata": media}
    return post


def commons_page(number: int) -> dict[str, Any]:
    info = {
        "url": f"https://upload.wikimedia.org/{number}.jpg", "mime": "image/jpeg", "user": "Uploader",
        "timestamp": "2020-05-04T03:02:01Z",
        "metadata": [{"name": "Make", "value": "Nikon"}, {"name": "ISO", "value": [{"name": 0, "value": 400}]}],
        "extmetadata": {"Artist": {"value": "<a>Ada</a>"}, "License": {"value": "cc-by-4.0"}},
    }  # fmt: skip
    return {"pageid": number, "title": f"File:{number}.jpg", "imageinfo": [info]}


def ffhq_record(number: int) -> dict[str, Any]:
    wild = {"file_url": f"https://example.org/{number}.png", "file_path": f"{number}.png", "face_rect": [1, 2, 3, 4]}
    about = {"author": "Ada", "photo_title": "Fog", "license_url": "https://creativecommons.org/licenses/by/2.0/"}
    landmarks = [[1.5, 2.5]] * 68
    return {"metadata": about, "in_the_wild": wild | {"face_landmarks": landmarks}, "category": "training"}


def genome_record(number: int) -> dict[str, Any]:
    return {
        "image_id": number,
        "url": f"https://example.org/VG_100K/{number}.jpg",
        "flickr_id": number,
        "coco_id": None,
    }


def url_row(number: int) -> dict[str, Any]:
    return {
        "url": f"https://example.org/{number}.jpg", "source_id": f"row-{number}", "owner": "Ada",
        "licence": "CC BY 4.0", "tags": "fog;sea", "medium": "film", "published_at": "2020-05-04",
        "exif.FNumber": "5.6", "note": "x",
    }  # fmt: skip


def sidecar(number: int) -> dict[str, Any]:
    return {
        "category": "flickr", "id": number, "owner": {"nsid": "1@N00"}, "license": "4", "title": "Fog",
        "tags": ["a", "b"], "date": "2020-05-04",
        "exif": [{"tagspace": "ExifIFD", "tag": "FNumber", "raw": {"_content": "2.8"}}],
    }  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """How to harvest a source.

    Attributes:
        arguments: Arguments of ``harvest run``.
        good: Identifiers of the good records.
        environment: Additional environment variables.
    """

    arguments: list[str]
    good: list[str]
    environment: dict[str, str] = field(default_factory=dict)


class Case:
    """A source with good and mutated records; good ones have even numbers.

    Args:
        make: Returns a good record.
        count: Number of records.
        rng: Random numbers.
    """

    def __init__(self, make: Callable[[int], dict[str, Any]], count: int, rng: random.Random) -> None:
        self.numbers = range(2, count + 2)
        self.records = [make(n) if n % 2 == 0 else mutate(make(n), rng) for n in self.numbers]
        self.rng = rng

    @property
    def good(self) -> list[int]:
        return [number for number in self.numbers if number % 2 == 0]


@contextmanager
def flickr(_: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    case = Case(flickr_photo, count, rng)
    pages = [case.records[i : i + 250] for i in range(0, count, 250)]

    def respond(request: HttpRequest) -> HttpResponse:
        number = int(request.params.get("page", 1))
        answer = {"page": number, "pages": len(pages), "total": str(count), "photo": pages[number - 1]}
        return HttpResponse(as_json({"stat": "ok", "photos": answer}).encode())

    with serve_api(respond) as api:
        yield Listing(
            ["flickr", "--search", "fog", "--pages", str(len(pages))],
            [str(n) for n in case.good],
            {"FLICKR_API_URL": api.url},
        )


@contextmanager
def reddit_api(_: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    case = Case(reddit_post, min(count, 1000), rng)
    # a mutated name or id of a post would end PRAW's own paging
    posts = [r | {"name": f"t3_p{n}"} for n, r in zip(case.numbers, case.records, strict=True) if isinstance(r, dict)]

    def respond(request: HttpRequest) -> HttpResponse:
        if request.path == "/api/v1/access_token":
            return HttpResponse({"access_token": "t", "token_type": "bearer", "expires_in": 3600, "scope": "*"})
        if not request.path.endswith("/new/") and not request.path.endswith("/new"):
            return HttpResponse({"kind": "Listing", "data": {"children": [], "after": None}})
        after = request.params.get("after")
        start = next((i + 1 for i, post in enumerate(posts) if post["name"] == after), 0)
        page = posts[start : start + 100]
        more = page[-1]["name"] if start + len(page) < len(posts) else None
        children = [{"kind": "t3", "data": post} for post in page]
        return HttpResponse(as_json({"kind": "Listing", "data": {"children": children, "after": more}}).encode())

    with serve_api(respond) as api:
        good = [f"p{n}" if n % 3 else f"p{n}-m{n}" for n in case.good]
        yield Listing(["reddit", "analog"], good, {"REDDIT_URL": api.url})


@contextmanager
def reddit_dump(home: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    case = Case(reddit_post, count, rng)
    (home / "dump.jsonl").write_text("\n".join(map(as_json, case.records)), encoding="utf-8")
    good = [f"p{n}" if n % 3 else f"p{n}-m{n}" for n in case.good]
    yield Listing(["reddit", "analog", "--dump", str(home / "dump.jsonl")], good)


@contextmanager
def commons(_: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    case = Case(commons_page, count, rng)

    def respond(request: HttpRequest) -> HttpResponse:
        start = int(request.params.get("gsroffset", 0))
        answer: dict[str, Any] = {"batchcomplete": True, "query": {"pages": case.records[start : start + 50]}}
        if start + 50 < count:
            answer["continue"] = {"gsroffset": start + 50, "continue": "gsroffset||"}
        return HttpResponse(as_json(answer).encode())

    with serve_api(respond) as api:
        yield Listing(["commons", "--search", "fog", "--api", f"{api.url}/w/api.php"], [str(n) for n in case.good])


@contextmanager
def ffhq(home: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    case = Case(ffhq_record, count, rng)
    members = ", ".join(f'"{n}": {as_json(r)}' for n, r in zip(case.numbers, case.records, strict=True))
    (home / "ffhq.json").write_text(f"{{{members}}}", encoding="utf-8")
    yield Listing(["ffhq", str(home / "ffhq.json")], [f"in_the_wild/{n}" for n in case.good])


@contextmanager
def visual_genome(home: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    case = Case(genome_record, count, rng)
    (home / "list.json").write_text(as_json(case.records, deep=False), encoding="utf-8")
    yield Listing(["visual-genome", str(home / "list.json")], [str(n) for n in case.good])


@contextmanager
def urls_csv(home: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    import csv

    case = Case(url_row, count, rng)
    columns = list(url_row(0))
    with (home / "urls.csv").open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for record in case.records:
            row = record if isinstance(record, dict) else {"url": record}
            values = [row.get(name) for name in columns]
            writer.writerow([value if isinstance(value, str) else as_json(value)[:9999] for value in values])
    yield Listing(["urls", str(home / "urls.csv")], [f"row-{n}" for n in case.good])


@contextmanager
def folder(home: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    top, good = home / "photos", []
    for number in range(count):
        parent = top / f"{number // 200}"
        parent.mkdir(parents=True, exist_ok=True)
        name = f"{number}.jpg" if number % 2 == 0 else f"{hostile_name(rng)}{number}.jpg"
        (parent / name).write_bytes(b"not a photograph")
        if number % 2 == 0:
            good.append(str(parent / name))
            content = as_json(mutate(sidecar(number), rng))
            (parent / f"{name}.json").write_text(content, encoding="utf-8", errors="surrogatepass")
    yield Listing(["folder", str(top)], good)


@contextmanager
def website(home: Path, count: int, rng: random.Random) -> Iterator[Listing]:
    per_page = 50
    pages = [range(start, min(start + per_page, count)) for start in range(0, count, per_page)]

    def figure(number: int) -> str:
        good = f'<figure><img src="/photo-{number}.jpg"><i>{number}</i></figure>'
        if number % 2 == 0:
            return good
        if rng.random() < 0.2:
            return good[: rng.randrange(40)] + "</i></figure>"
        return good.replace(f"/photo-{number}.jpg", str(mutate({"a": "/x.jpg"}, rng))[:3000].replace("<", ""))

    bodies = []
    for index, numbers in enumerate(pages):
        links = f'<a class="next" href="/page-{index + 1}">next</a>' if index + 1 < len(pages) else ""
        broken = '<a class="next" href="http://[broken/">broken</a>' if index % 2 else ""
        bodies.append(f"<html><body>{links}{broken}{''.join(map(figure, numbers))}".encode("utf-8", "replace"))

    def respond(request: HttpRequest) -> HttpResponse:
        index = request.path.removeprefix("/page-")
        if not index.isdigit():
            return HttpResponse(b"", 404)
        return HttpResponse(bodies[int(index)], headers={"Content-Type": "text/html; charset=utf-8"})

    with serve_api(respond) as api:
        site = home / "site.toml"
        selectors = '[photograph]\neach = "figure"\nid = "i::text"\n'
        site.write_text(f'name = "fuzz"\nstart = ["{api.url}/page-0"]\nfollow = ["a.next"]\n{selectors}')
        yield Listing(["website", str(site)], [str(n) for n in range(0, count, 2)])


CASES = {
    case.__name__.replace("_", "-"): case
    for case in (flickr, reddit_api, reddit_dump, commons, ffhq, visual_genome, urls_csv, folder, website)
}
