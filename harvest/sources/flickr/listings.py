"""Lists of the Flickr API: pages of a search, a group or an album; long searches are divided by upload date."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.base import Cursor
from lightmeter.harvest.sources.flickr.client import Client
from lightmeter.harvest.sources.flickr.photos import EXTRAS, Photo
from lightmeter.harvest.sources.photo_metadata import as_count, as_dict, as_list

MAX_RESULTS = 4000
"""photos.search repeats earlier results beyond this number."""

FIRST_UPLOAD = 1_075_593_600
"""February 2004, when Flickr opened."""


@dataclass(frozen=True, slots=True)
class Page:
    """The photographs of one page, and the cursor behind it."""

    photos: list[Photo]
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of photographs.

    Attributes:
        method: API method.
        params: Parameters of the method.
        key: Key of the list in the response.
        per_page: Photographs per page.
    """

    method: str
    params: dict[str, Any]
    key: str = "photos"
    per_page: int = 250

    def page(self, client: Client, number: int, **params: Any) -> dict[str, Any]:
        """Return one page as the API returns it."""
        params = self.params | params
        document = client.call(self.method, extras=EXTRAS, per_page=self.per_page, page=number, **params)
        page = as_dict(document.get(self.key))
        if not page:
            raise LightmeterError(f"Flickr's answer to {self.method} has no list of photographs")
        return page


def pages(client: Client, listing: Listing, first: int, count: int | None, **params: Any) -> Iterator[Page]:
    """Yield at most ``count`` pages; the cursor is the number of the next page, 0 after the last one.

    Pages beyond the last are not requested: Flickr would answer with an earlier page.
    """
    number = first
    while number and (count is None or number < first + count):
        page = listing.page(client, number, **params)
        owner = {key: page[key] for key in ("owner", "ownername") if page.get(key)}  # of all photographs of an album
        photos = as_list(page.get("photo"))
        is_last = number >= (as_count(page.get("pages")) or 0) or not photos
        number = 0 if is_last else number + 1
        yield Page([owner | photo if isinstance(photo, dict) else photo for photo in photos], {"page": number})


def search_pages(client: Client, listing: Listing, cursor: Cursor | None, now: float | None = None) -> Iterator[Page]:
    """Yield the pages of a search of any length, newest first, one span of upload dates after the other.

    A span with too many results is halved.

    Args:
        client: Client of the API.
        listing: The search.
        cursor: Span and page from which to resume.
        now: Start of the search in seconds since the epoch (default: the current time).
    """
    first = max(FIRST_UPLOAD, listing.params.get("min_upload_date") or 0)
    last = listing.params.get("max_upload_date") or int(time.time() if now is None else now)
    if cursor:
        low, high = cursor["span"]
        yield from _span_pages(client, listing, low, high, cursor["page"])
        spans = [(first, low - 1)]
    else:
        spans = [(first, last)]
    while spans:
        low, high = spans.pop()
        if low > high:
            continue
        total = as_count(listing.page(client, 1, min_upload_date=low, max_upload_date=high).get("total"))
        if total is None:
            raise LightmeterError("Flickr's answer to photos.search has no number of photographs")
        if total > MAX_RESULTS and high > low:
            middle = (low + high) // 2
            spans += [(low, middle), (middle + 1, high)]
        elif total:
            yield from _span_pages(client, listing, low, high, 1)


def _span_pages(client: Client, listing: Listing, low: int, high: int, first: int) -> Iterator[Page]:
    for page in pages(client, listing, first, None, min_upload_date=low, max_upload_date=high):
        yield Page(page.photos, {"span": [low, high], **page.cursor})
