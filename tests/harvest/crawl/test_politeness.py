"""One crawl of many sites on loopback, each with its own rules, and one of a site with pages."""

import gzip
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import LOOPBACK, CommandRunner, HttpResponse, Site, jpeg

DISALLOW = b"User-agent: *\nDisallow: /"
PHOTOS = 4


class Sites:
    """Sites by name, each with photographs of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._by_name: dict[str, Site] = {}

    def __getitem__(self, name: str) -> Site:
        if name not in self._by_name:
            self._by_name[name] = site = self._stack.enter_context(closing(Site()))
            for number in range(PHOTOS):
                site.add_photo(f"/{number}.jpg", jpeg(1000 * len(self._by_name) + number))
        return self._by_name[name]

    def urls(self) -> list[str]:
        return [f"{site.url}/{number}.jpg" for site in self._by_name.values() for number in range(PHOTOS)]

    def photos_requested(self, name: str) -> int:
        return sum(count for path, count in self[name].requests.items() if path.endswith(".jpg"))


@pytest.fixture
def sites() -> Iterator[Sites]:
    with ExitStack() as stack:
        yield Sites(stack)


def test_rules_of_sites_are_known_before_the_first_photo(
    lightmeter: CommandRunner, sites: Sites, project: Path
) -> None:
    """Sites that disallow, opt out or do not answer are not asked for photographs, nor are they a delay for others."""

    def slow(_: int) -> HttpResponse:
        time.sleep(0.2)
        return HttpResponse(DISALLOW)

    def hanging(_: int) -> HttpResponse:
        time.sleep(2)
        return HttpResponse(b"")

    packed = gzip.compress(b"User-agent: *\nDisallow: /\n" + b"#" * 10_000_000)
    sites["slow"].responses["/robots.txt"] = slow
    sites["hanging"].responses["/robots.txt"] = hanging
    sites["500"].responses["/robots.txt"] = HttpResponse(b"", 500)
    sites["cut"].responses["/robots.txt"] = HttpResponse(b"", content_length=100)
    sites["packed"].responses["/robots.txt"] = HttpResponse(packed, headers={"Content-Encoding": "gzip"})
    sites["moved"].responses["/robots.txt"] = HttpResponse(b"", 301, {"Location": f"{sites['slow'].url}/robots.txt"})
    sites["reserved"].responses["/.well-known/tdmrep.json"] = HttpResponse(b'[{"location": "/", "tdm-reservation": 1}]')
    sites["headers"].responses.update(
        {f"/{number}.jpg": HttpResponse(jpeg(number), headers={"X-Robots-Tag": "noml"}) for number in range(PHOTOS)}
    )
    sites["redirected"].responses.update(
        {
            f"/{number}.jpg": HttpResponse(b"", 302, {"Location": f"{sites['slow'].url}/{number}.jpg"})
            for number in range(PHOTOS)
        }
    )
    sites["404"].responses["/robots.txt"] = HttpResponse(DISALLOW, 404)
    busy = {f"/{number}.jpg": sites["busy"].responses[f"/{number}.jpg"] for number in range(PHOTOS)}
    for path, photo in busy.items():
        sites["busy"].responses[path] = lambda count, photo=photo: (
            photo if count else HttpResponse(b"", 429, {"Retry-After": "3"})
        )  # type: ignore[misc]
    sites["free"].responses["/robots.txt"] = HttpResponse(b"User-agent: otherbot\nDisallow: /")

    (project / "urls.txt").write_text("\n".join(sites.urls()))
    env = LOOPBACK | {"LIGHTMETER_CRAWL__ATTEMPTS": "1", "LIGHTMETER_CRAWL__TIMEOUT_S": "1"}
    counts = lightmeter("harvest", "run", "urls", project / "urls.txt", env=env)

    assert counts["state"] == "finished"
    fetched = {"404", "busy", "free"}
    assert counts["fetched"] == len(fetched) * PHOTOS
    reasons = Counter({row["reason"]: row["count"] for row in counts["reasons"] if row["state"] == "refused"})
    assert reasons == {
        "robots.txt": 4 * PHOTOS,  # slow, packed, moved, redirected
        "robots.txt unreachable": 3 * PHOTOS,
        "opt-out": 2 * PHOTOS,
    }
    for name in ("slow", "hanging", "500", "cut", "packed", "moved", "reserved"):
        assert sites.photos_requested(name) == 0
    for name in sites._by_name:
        assert sites[name].requests["/robots.txt"] == (1 if name != "slow" else 2)
    last_free = max(moment for moment, path in sites["free"].log if path.endswith(".jpg"))
    repeated = [moment for moment, path in sites["busy"].log if sites["busy"].requests[path] == 2]
    assert last_free < max(repeated)

    sites["500"].responses["/robots.txt"] = HttpResponse(b"", 404)
    retried = lightmeter("harvest", "retry", "--reason", "robots.txt unreachable: HTTP 500", env=env)
    assert retried["fetched"] == (len(fetched) + 1) * PHOTOS


def test_pages_that_opt_out(lightmeter: CommandRunner, sites: Sites, project: Path) -> None:
    """Photographs of such a page are refused; another page's links may not be followed; crawling waits in between."""
    site = sites["pages"]
    site.responses["/robots.txt"] = HttpResponse(b"User-agent: LightMeter/1.0\nCrawl-delay: 0.5\nDisallow: /3.jpg")
    site.add_page("/", '<a href="/reserved">1</a><a href="/end">2</a><img src="/0.jpg">')
    site.add_page("/reserved", '<meta name="tdm-reservation" content="1"><img src="/1.jpg">')
    site.add_page(
        "/end", '<meta name="robots" content="nofollow"><a href="/hidden"></a><img src="/2.jpg"><img src="/3.jpg">'
    )
    site.add_page("/hidden", '<img src="/4.jpg">')
    site.add_page("/large", "<p>" * 40_000)
    (project / "site.toml").write_text(
        f'start = ["{site.url}/", "{site.url}/large"]\nfollow = ["a"]\n[photograph]\neach = "img"\nmedia = "::attr(src)"\n'
    )
    env = LOOPBACK | {"LIGHTMETER_CRAWL__MAX_PAGE_BYTES": "100000"}
    counts = lightmeter("harvest", "run", "website", project / "site.toml", env=env)
    assert (counts["state"], counts["found"], counts["fetched"], counts["refused"]) == ("finished", 4, 2, 2)
    assert counts["reason"] == f"{site.url}/large: too many bytes"
    assert {row["reason"]: row["count"] for row in counts["reasons"]} == {"opt-out": 1, "robots.txt": 1}
    assert sites.photos_requested("pages") == 2
    assert not site.requests["/hidden"]
    moments = [moment for moment, path in site.log if path not in {"/robots.txt", "/.well-known/tdmrep.json"}]
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(moments))
