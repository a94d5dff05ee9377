"""The source plugin for Flickr."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.base import (
    AbsolutePath,
    Checkpoint,
    Cursor,
    DatedQuery,
    Item,
    Medium,
    Option,
    Sighting,
    Source,
    convert_record,
)
from lightmeter.harvest.sources.flickr.client import KEYS, Client, Refused, connect
from lightmeter.harvest.sources.flickr.files import PhotoFile, read_photos
from lightmeter.harvest.sources.flickr.listings import Listing, Page, pages, search_pages
from lightmeter.harvest.sources.flickr.photos import Photo, photo_item
from lightmeter.harvest.sources.photo_metadata import FLICKR_LICENCES, as_dict, as_text
from lightmeter.harvest.sources.rate_limit import FLICKR, RateLimit

_NSID = re.compile(r"\d+@N\d+")
_FILE_BATCH = 100

Size = Literal[
    "s", "q", "t", "m", "n", "w", "z", "c", "b", "h", "k", "3k", "4k", "f", "5k", "6k", "o", "default"
]  # fmt: skip
PhotoWithConcepts = tuple[tuple[str, ...], Photo]


class Flickr(Source):
    """Lists a search, a user, an album, a group or a file of photo ids, and requests EXIF on demand."""

    name = "flickr"
    summary = "photographs on Flickr: a search, a group, a user, an album, or a file of ids"
    keys: ClassVar[tuple[str, ...]] = KEYS
    rate_limit: ClassVar[RateLimit | None] = FLICKR

    class Query(DatedQuery):
        """Harvest photographs from Flickr."""

        search: str | None = Option(None, "Search term; stored as the photographs' concept.")
        user: str | None = Option(None, "User: NSID, or the name in the URL of the user's page.")
        album: str | None = Option(None, "Number of an album; needs --user.")
        group: str | None = Option(None, "Group pool: NSID, or the name in the URL of the group.")
        photos: AbsolutePath | None = Option(None, "JSON file with ids, secrets and servers of photographs.")
        filter_tag: str | None = Option(None, "Only photographs with this tag.")
        licence_ids: str = Option("", "Only these licences: Flickr's numbers, comma-separated.")
        size: Size = Option("o", "Size to download; the nearest size if it does not exist.")
        exif: bool = Option(default=False, description="Request EXIF of each photograph from Flickr.")
        start_page: int = Option(1, "First page.", ge=1)
        pages: int | None = Option(None, "Maximum number of pages (default: all).", ge=1)
        per_page: int = Option(250, "Photographs per page.", ge=1, le=500)
        save_metadata: AbsolutePath | None = Option(None, "Write ids, secrets and servers to this file, for --photos.")
        medium: Medium | None = Option(None, "Medium of all photographs.")

        @field_validator("licence_ids")
        @classmethod
        def _existing_licences(cls, numbers: str) -> str:
            for number in filter(None, numbers.split(",")):
                if number.strip() not in FLICKR_LICENCES:
                    raise ValueError(f"Flickr has no licence {number}; docs/sources/flickr.md lists them")
            return numbers

        @model_validator(mode="after")
        def _single_list(self) -> "Flickr.Query":
            lists = [bool(self.search or (self.user and not self.album)), bool(self.album), bool(self.group)]
            if sum([*lists, bool(self.photos)]) != 1:
                raise ValueError("name one of --search, --user, --album, --group, --photos")
            if self.album and not self.user:
                raise ValueError("--album needs --user")
            return self

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield photographs with a checkpoint after each page."""
        client = connect(self)
        file = PhotoFile(query.save_metadata) if query.save_metadata else None

        def convert(entry: PhotoWithConcepts) -> Sighting:
            concepts, photo = entry
            item = photo_item(client, photo, size=query.size, concepts=concepts, medium=query.medium, exif=query.exif)
            if file:
                file.add(concepts, photo)
            return item

        for photos, page_cursor in _pages(client, query, cursor):
            behind = ", ".join(f"{key} {value}" for key, value in page_cursor.items())
            for number, entry in enumerate(photos, start=1):
                yield from convert_record(convert, entry, f"{_name(query)}, photograph {number} before {behind}")
            if file:
                file.write()
            yield Checkpoint(page_cursor)


def _name(query: Any) -> str:
    """Return the list of a query, for messages."""
    name = query.search or query.album or query.group or query.photos or query.user
    return f"Flickr {name}"


def _pages(client: Client, query: Any, cursor: Cursor | None) -> Iterator[tuple[list[PhotoWithConcepts], Cursor]]:
    """Yield the photographs of each page with their concepts, and the cursor behind the page."""
    if query.photos:
        photos = list(read_photos(query.photos))
        for start in range(cursor["index"] if cursor else 0, len(photos), _FILE_BATCH):
            yield photos[start : start + _FILE_BATCH], {"index": start + _FILE_BATCH}
        return
    concepts = (query.search,) if query.search else ()
    try:
        for page in _listed_pages(client, query, cursor):
            yield [(concepts, photo) for photo in page.photos if _matches(photo, query)], page.cursor
    except Refused as refused:
        raise LightmeterError(f"Flickr refused: {refused}") from refused


def _listed_pages(client: Client, query: Any, cursor: Cursor | None) -> Iterator[Page]:
    listing = _listing(client, query)
    if listing.method == "photos.search" and query.start_page == 1 and query.pages is None:
        return search_pages(client, listing, cursor)
    first = cursor["page"] if cursor else query.start_page
    count = None if query.pages is None else query.start_page + query.pages - first
    return pages(client, listing, first, count)


def _listing(client: Client, query: Any) -> Listing:
    """Return the list that a query names."""
    if query.group:
        params = {"group_id": _nsid(client, query.group, "group"), "tags": query.filter_tag}
        return Listing("groups.pools.getPhotos", params, per_page=query.per_page)
    user = _nsid(client, query.user, "user") if query.user else None
    if query.album:
        params = {"photoset_id": query.album, "user_id": user}
        return Listing("photosets.getPhotos", params, key="photoset", per_page=query.per_page)
    start, end = query.period
    params = {
        "min_upload_date": start and int(start.timestamp()),
        "max_upload_date": end and int(end.timestamp()) - 1,
        "text": query.search,
        "user_id": user,
        "tags": query.filter_tag,
        "license": query.licence_ids or None,
        "media": "photos",
        "sort": "date-posted-desc",
    }
    return Listing("photos.search", params, per_page=query.per_page)


def _nsid(client: Client, name: str, kind: Literal["user", "group"]) -> str:
    """Return the NSID of a user or group named by NSID, URL or the name in its URL."""
    if _NSID.fullmatch(name):
        return name
    path = {"user": "photos", "group": "groups"}[kind]
    url = name if name.startswith("http") else f"https://www.flickr.com/{path}/{name}/"
    nsid = as_text(as_dict(client.call(f"urls.lookup{kind.capitalize()}", url=url).get(kind)).get("id"))
    if nsid is None:
        raise LightmeterError(f"Flickr does not know the {kind} {name}")
    return nsid


def _matches(photo: Any, query: Any) -> bool:
    """Return whether a photograph passes the filters of the query, which only searches apply themselves."""
    if not isinstance(photo, dict):
        return True  # and is reported as unreadable
    allowed = {number.strip() for number in query.licence_ids.split(",") if number.strip()}
    tags = (as_text(photo.get("tags")) or "").split()
    return (
        photo.get("media", "photo") == "photo"
        and (not allowed or str(photo.get("license")) in allowed)
        and (not query.album or not query.filter_tag or query.filter_tag in tags)
    )
