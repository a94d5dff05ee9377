"""The source plugin."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.base import Checkpoint, Medium, Option, PhotoItem, Source, SourceQuery
from lightmeter.harvest.sources.flickr.files import Photo, Saved, read_photos
from lightmeter.harvest.sources.flickr.photographs import (
    LARGEST_WITHOUT_ASKING,
    LICENCES,
    SIZES,
    built_url,
    exif_tags,
    listed_form,
    media_url,
    nearest_size,
    sighting,
)
from lightmeter.harvest.sources.rate_limit import FLICKR, RateLimit

if TYPE_CHECKING:
    from lightmeter.harvest.sources.flickr.client import Client
    from lightmeter.harvest.sources.flickr.listings import Listing, Page

_NSID = re.compile(r"\d+@N\d+")
_HIDDEN, _NOT_FOUND = 2, 1
_FILE_CHECKPOINT = 100
Size = Literal[
    "s", "q", "t", "m", "n", "w", "z", "c", "b", "h", "k", "3k", "4k", "f", "5k", "6k", "o", "default"
]  # fmt: skip


class Flickr(Source):
    """Lists a search, a group, a user, an album or a file of ids; asks for EXIF where it is wanted."""

    name = "flickr"
    summary = "photographs on Flickr: a search, a group, a user, an album, or a file of ids"
    keys: ClassVar[tuple[str, ...]] = ("FLICKR_API_KEY", "FLICKR_API_SECRET")
    service: ClassVar[RateLimit | None] = FLICKR

    class Query(SourceQuery):
        """What is listed, and what of it is taken."""

        search: str | None = Option(None, "Words to search for; they become the photographs' concept.")
        user: str | None = Option(None, "Photographs of this user: NSID, or the name in their address.")
        album: str | None = Option(None, "Number of an album; needs --user.")
        group: str | None = Option(None, "Pool of this group: NSID, or the name in its address.")
        photos: Path | None = Option(None, "JSON file of photographs' ids, secrets and servers.")
        filter_tag: str | None = Option(None, "Only photographs that have this tag too.")
        licence_ids: str = Option("", "Only these licences: Flickr's numbers, comma-separated.")
        size: Size = Option("o", "Size to fetch; the nearest that exists, if it does not.")
        exif: bool = Option(default=False, description="Ask Flickr for each photograph's EXIF.")
        start_page: int = Field(1, ge=1, description="Page to begin with.")
        pages: int | None = Field(None, ge=1, description="Pages to read at most; a whole search otherwise.")
        per_page: int = Field(250, ge=1, le=500, description="Photographs on a page.")
        save_metadata: Path | None = Option(None, "Write ids, secrets and servers to this file, for --photos.")
        medium: Medium | None = Option(None, "How all of them were taken: film or digital.")

        @field_validator("photos", "save_metadata")
        @classmethod
        def _absolute(cls, path: Path | None) -> Path | None:
            return path.absolute() if path else None

        @field_validator("licence_ids")
        @classmethod
        def _known_licences(cls, numbers: str) -> str:
            for number in filter(None, numbers.split(",")):
                if number.strip() not in LICENCES:
                    raise ValueError(f"Flickr has no licence {number}; docs/sources/flickr.md lists them")
            return numbers

        @model_validator(mode="after")
        def _one_thing(self) -> "Flickr.Query":
            asked = [bool(self.search or (self.user and not self.album)), bool(self.album), bool(self.group)]
            if sum([*asked, bool(self.photos)]) != 1:
                raise ValueError("name one of --search, --user, --album, --group, --photos")
            if self.album and not self.user:
                raise ValueError("--album needs --user")
            return self

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        """Yield photographs page by page, with a checkpoint behind each."""
        client = connect(self)
        saved = Saved(query.save_metadata) if query.save_metadata else None
        for photos, place in self._photos(client, query, cursor):
            for concepts, photo in photos:
                if saved:
                    saved.add(concepts, photo)
                yield self._sighting(client, query, concepts, photo)
            if saved:
                saved.write()
            yield Checkpoint(place)

    def _photos(
        self, client: "Client", query: Any, cursor: dict[str, Any] | None
    ) -> Iterator[tuple[list[tuple[tuple[str, ...], Photo]], dict[str, Any]]]:
        """Yield photographs with their concepts, a page at a time, and where to go on behind each page."""
        if query.photos:
            listed = list(read_photos(query.photos))
            for start in range(cursor["index"] if cursor else 0, len(listed), _FILE_CHECKPOINT):
                yield listed[start : start + _FILE_CHECKPOINT], {"index": start + _FILE_CHECKPOINT}
            return
        concepts = (query.search,) if query.search else ()
        for page in self._pages(client, query, cursor):
            yield [(concepts, photo) for photo in page.photos if _wanted(photo, query)], page.cursor

    def _pages(self, client: "Client", query: Any, cursor: dict[str, Any] | None) -> Iterator["Page"]:
        from lightmeter.harvest.sources.flickr.client import Refused
        from lightmeter.harvest.sources.flickr.listings import pages, sliced

        try:
            listing = _listing(client, query)
            whole = query.start_page == 1 and query.pages is None
            if listing.method == "photos.search" and whole:
                yield from sliced(client, listing, cursor)
                return
            first = cursor["page"] if cursor else query.start_page
            left = None if query.pages is None else query.start_page + query.pages - first
            yield from pages(client, listing, first, left)
        except Refused as refused:
            raise LightmeterError(f"Flickr refused: {refused}") from refused

    def _sighting(self, client: "Client", query: Any, concepts: tuple[str, ...], photo: Photo) -> PhotoItem:
        exif, hidden = _exif(client, photo) if query.exif else (None, False)
        url = media_url(photo, query.size) or _url_of_known(client, photo, query.size)
        return sighting(photo, url, concepts=concepts, medium=query.medium, exif=exif, hidden=hidden)


def connect(source: Source) -> "Client":
    """Return what asks Flickr for a source, within that source's budget.

    Raises:
        LightmeterError: if flickrapi is not there.
    """
    try:
        from lightmeter.harvest.sources.flickr.client import Client
    except ModuleNotFoundError as error:
        raise LightmeterError("flickrapi is not installed; run: pip install 'lightmeter[flickr]'") from error
    return Client(source.budget, source.settings.crawl.timeout_s)


def sighting_of_id(client: "Client", number: str, medium: Medium | None) -> PhotoItem:
    """Return the photograph of a Flickr id, with its original's address, EXIF, owner and licence; it may be gone."""
    from lightmeter.harvest.sources.flickr.client import Refused

    try:
        photo = listed_form(client.ask("photos.getInfo", photo_id=number))
    except Refused as refused:
        return PhotoItem(source_id=number, gone=f"not on Flickr: {refused}", medium=medium)
    exif, hidden = _exif(client, photo)
    url = _url_of_known(client, photo, "o")
    return sighting(photo, url, concepts=(), medium=medium, exif=exif, hidden=hidden)


def _listing(client: "Client", query: Any) -> "Listing":
    """Return what Flickr is asked to list."""
    from lightmeter.harvest.sources.flickr.listings import Listing

    if query.group:
        group = _nsid(client, query.group, "groups", "group")
        words = {"group_id": group, "tags": query.filter_tag}
        return Listing("groups.pools.getPhotos", words, per_page=query.per_page)
    user = _nsid(client, query.user, "photos", "user") if query.user else None
    if query.album:
        words = {"photoset_id": query.album, "user_id": user}
        return Listing("photosets.getPhotos", words, key="photoset", per_page=query.per_page)
    words = {
        "text": query.search,
        "user_id": user,
        "tags": query.filter_tag,
        "license": query.licence_ids or None,
        "media": "photos",
        "sort": "date-posted-desc",
    }
    return Listing("photos.search", words, per_page=query.per_page)


def _nsid(client: "Client", name: str, where: str, kind: str) -> str:
    """Return the NSID of a user or group that may be named as in its address."""
    if _NSID.fullmatch(name):
        return name
    address = name if name.startswith("http") else f"https://www.flickr.com/{where}/{name}/"
    return str(client.ask(f"urls.lookup{kind.capitalize()}", url=address)[kind]["id"])


def _wanted(photo: Photo, query: Any) -> bool:
    """Return whether a photograph is one that was asked for; listings other than searches do not filter."""
    allowed = {number.strip() for number in query.licence_ids.split(",") if number.strip()}
    tags = str(photo.get("tags") or "").split()
    return (
        photo.get("media", "photo") == "photo"
        and (not allowed or str(photo.get("license")) in allowed)
        and (not query.album or not query.filter_tag or query.filter_tag in tags)
    )


def _url_of_known(client: "Client", photo: Photo, wanted: str) -> str | None:
    """Return the address of a photograph of which no listing told it: made from its secret, or asked for."""
    from lightmeter.harvest.sources.flickr.client import Refused

    order = list(SIZES)
    small = order.index(wanted) <= order.index(LARGEST_WITHOUT_ASKING)
    if small and photo.get("secret") and photo.get("server"):
        return built_url(photo, wanted)
    try:
        sizes = client.ask("photos.getSizes", photo_id=photo["id"])["sizes"]["size"]
    except Refused:
        return None
    there = {letter: size["source"] for size in sizes if (letter := _letter(size["source"])) in SIZES}
    nearest = nearest_size(wanted, set(there))
    return there[nearest] if nearest else None


def _letter(address: str) -> str:
    """Return which size an address leads to."""
    found = re.search(r"_([0-9a-z]{1,2})\.\w+$", address)
    return found[1] if found else "default"


def _exif(client: "Client", photo: Photo) -> tuple[dict[str, Any] | None, bool]:
    """Return the tags that Flickr tells, and whether the owner hides them."""
    from lightmeter.harvest.sources.flickr.client import Refused

    words = {"photo_id": photo["id"], "secret": photo.get("secret")}
    try:
        return exif_tags(client.ask("photos.getExif", **words)), False
    except Refused as refused:
        if refused.code not in {_HIDDEN, _NOT_FOUND}:
            raise LightmeterError(f"Flickr refused: {refused}") from refused
        return None, refused.code == _HIDDEN
