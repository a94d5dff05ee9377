"""Flickr's listings: pages of a search, a group, an album; and searches too long for pages, cut by upload date."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lightmeter.harvest.sources.flickr.client import Client
from lightmeter.harvest.sources.flickr.photographs import EXTRAS

MOST_RESULTS = 4000
"""Beyond so many, photos.search repeats what it has shown."""

FIRST_UPLOAD = 1_075_593_600
"""Flickr opened in February 2004."""

Photo = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Photographs of one page, and where to go on behind it."""

    photos: list[Photo]
    cursor: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """Something that Flickr lists.

    Attributes:
        method: that lists it.
        words: of the request.
        key: under which the answer holds it.
        per_page: photographs on a page.
    """

    method: str
    words: dict[str, Any]
    key: str = "photos"
    per_page: int = 250

    def page(self, client: Client, number: int, **further: Any) -> dict[str, Any]:
        """Return one page as Flickr answers it."""
        words = self.words | further
        answer = client.ask(self.method, extras=EXTRAS, per_page=self.per_page, page=number, **words)
        listed: dict[str, Any] = answer[self.key]
        return listed


def pages(client: Client, listing: Listing, first: int, count: int | None, **further: Any) -> Iterator[Page]:
    """Yield pages, at most ``count``; the cursor is the next page's number, 0 behind the last one.

    A page beyond the last must not be asked for: Flickr answers with one that it has shown.
    """
    number = first
    while number and (count is None or number < first + count):
        listed = listing.page(client, number, **further)
        whose = {key: listed[key] for key in ("owner", "ownername") if listed.get(key)}  # an album says it once
        last = number >= int(listed["pages"]) or not listed["photo"]
        number = 0 if last else number + 1
        yield Page([whose | photo for photo in listed["photo"]], {"page": number})


def sliced(client: Client, listing: Listing, cursor: dict[str, Any] | None, now: float | None = None) -> Iterator[Page]:
    """Yield the pages of a search of any length, newest first, a span of upload dates at a time.

    A span that holds too much is halved until it does not.

    Args:
        client: asks.
        listing: a search.
        cursor: where to go on: the span that was being read, and the page in it.
        now: when the search begins, in seconds since the epoch.
    """
    if cursor:
        low, high = cursor["span"]
        yield from _span(client, listing, low, high, cursor["page"])
        todo = [(FIRST_UPLOAD, low - 1)]
    else:
        todo = [(FIRST_UPLOAD, int(time.time() if now is None else now))]
    while todo:
        low, high = todo.pop()
        if low > high:
            continue
        total = int(listing.page(client, 1, min_upload_date=low, max_upload_date=high)["total"])
        if total > MOST_RESULTS and high > low:
            middle = (low + high) // 2
            todo += [(low, middle), (middle + 1, high)]
        elif total:
            yield from _span(client, listing, low, high, 1)


def _span(client: Client, listing: Listing, low: int, high: int, first: int) -> Iterator[Page]:
    for page in pages(client, listing, first, None, min_upload_date=low, max_upload_date=high):
        yield Page(page.photos, {"span": [low, high], **page.cursor})
