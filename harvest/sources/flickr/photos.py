"""Flickr photographs: sizes, URLs, EXIF, and conversion to items."""

import re
from typing import Any

from lightmeter.errors import LightmeterError
from lightmeter.harvest.dates import parse_timestamp
from lightmeter.harvest.sources.base import Medium, Sighting
from lightmeter.harvest.sources.flickr.client import EXIF_HIDDEN, NOT_FOUND, Client, Refused
from lightmeter.harvest.sources.photo_metadata import (
    FLICKR_LICENCES,
    as_dict,
    as_list,
    as_text,
    credit_line,
    flickr_content,
    flickr_exif,
)

Photo = dict[str, Any]
"""A photograph as the API's lists return it."""

SIZES = {
    "s": "sq", "q": "q", "t": "t", "m": "s", "n": "n", "w": "w", "default": "m", "z": "z", "c": "c", "b": "l", "h": "h",
    "k": "k", "3k": "3k", "4k": "4k", "f": "f", "5k": "5k", "6k": "6k", "o": "o",
}  # fmt: skip
"""Sizes from small to large, as URLs name them, and as the API does after ``url_``.

See https://www.flickr.com/services/api/misc.urls.html: ``default`` is 500 pixels long and has no letter."""

EXTRAS = ",".join(
    ["license", "date_upload", "owner_name", "tags", "media", *(f"url_{name}" for name in SIZES.values())]
)
"""Fields to request in lists."""

_ORDER = list(SIZES)
_MAX_BUILT = _ORDER.index("b")  # larger sizes have secrets of their own, which only the API returns


def nearest_size(size: str, available: set[str]) -> str | None:
    """Return the available size nearest to a size; of two equally near ones the larger."""
    index = _ORDER.index(size)
    return min(available, key=lambda name: (abs(_ORDER.index(name) - index), -_ORDER.index(name)), default=None)


def media_url(client: Client, photo: Photo, size: str) -> str | None:
    """Return the URL of the nearest size: listed, built from id and secret, or requested from the API.

    Returns:
        The URL; None if Flickr does not show the photograph.
    """
    urls = {name: url for name, key in SIZES.items() if (url := as_text(photo.get(f"url_{key}")))}
    secret, server = as_text(photo.get("secret")), as_text(photo.get("server"))
    if not urls and _ORDER.index(size) <= _MAX_BUILT and secret and server:
        letter = "" if size == "default" else f"_{size}"
        return f"https://live.staticflickr.com/{server}/{photo['id']}_{secret}{letter}.jpg"
    try:
        return _nearest(urls or _requested_urls(client, photo), size)
    except Refused:
        return None


def _nearest(urls: dict[str, str], size: str) -> str | None:
    name = nearest_size(size, set(urls))
    return urls[name] if name else None


def _requested_urls(client: Client, photo: Photo) -> dict[str, str]:
    """Return the URLs of ``photos.getSizes`` by size."""
    sizes_answer = as_dict(client.call("photos.getSizes", photo_id=photo["id"]).get("sizes"))
    entries = map(as_dict, as_list(sizes_answer.get("size")))
    urls = [url for entry in entries if (url := as_text(entry.get("source")))]
    letters = [re.search(r"_([0-9a-z]{1,2})\.\w+$", url) for url in urls]
    sizes = [letter[1] if letter else "default" for letter in letters]
    return {size: url for size, url in zip(sizes, urls, strict=True) if size in SIZES}


def request_exif(client: Client, photo: Photo) -> tuple[dict[str, Any] | None, bool]:
    """Return the EXIF tags that Flickr shows, and whether the owner hides them.

    Raises:
        LightmeterError: Flickr refused the request for another reason.
    """
    try:
        document = client.call("photos.getExif", photo_id=photo["id"], secret=photo.get("secret"))
    except Refused as refused:
        if refused.code not in {EXIF_HIDDEN, NOT_FOUND}:
            raise LightmeterError(f"Flickr refused: {refused}") from refused
        return None, refused.code == EXIF_HIDDEN
    return flickr_exif(as_dict(document.get("photo"))), False


def photo_item(
    client: Client, photo: Photo, *, size: str, concepts: tuple[str, ...], medium: Medium | None, exif: bool
) -> Sighting:
    """Return the item of a photograph.

    Args:
        client: Client for what the list does not contain.
        photo: The photograph as a list returns it.
        size: Size to download; the nearest that exists.
        concepts: Search terms.
        medium: Medium, if it is known.
        exif: Whether to request EXIF.
    """
    photo_id = as_text(photo.get("id"))
    if photo_id is None:
        raise ValueError("the photograph has no id")
    owner, title = as_text(photo.get("owner")), as_text(flickr_content(photo.get("title")))
    tags, is_hidden = request_exif(client, photo) if exif else (None, False)
    metadata = {key: photo[key] for key in ("secret", "server") if photo.get(key)}
    return Sighting(
        source_id=photo_id,
        media_url=media_url(client, photo, size),
        page_url=f"https://www.flickr.com/photos/{owner}/{photo_id}" if owner else None,
        owner=owner,
        licence=FLICKR_LICENCES.get(str(photo.get("license", ""))),
        attribution=credit_line(title, as_text(photo.get("ownername")) or owner, "Flickr") if owner else None,
        title=title,
        tags=tuple((as_text(photo.get("tags")) or "").split()),
        medium=medium,
        concepts=concepts,
        published_at=parse_timestamp(photo.get("dateupload")),
        exif=tags,
        metadata=metadata | ({"exif": "hidden by the owner"} if is_hidden else {}),
    )


def item_by_id(client: Client, photo_id: str, medium: Medium | None) -> Sighting:
    """Return the item of a Flickr id, with the original's URL, EXIF, owner and licence; it may be gone."""
    try:
        photo = _from_info(as_dict(client.call("photos.getInfo", photo_id=photo_id).get("photo"))) | {"id": photo_id}
    except Refused as refused:
        return Sighting(source_id=photo_id, gone=f"not on Flickr: {refused}", medium=medium)
    return photo_item(client, photo, size="o", concepts=(), medium=medium, exif=True)


def _from_info(info: dict[str, Any]) -> Photo:
    """Return the photograph of ``photos.getInfo`` in the form of lists."""
    owner = as_dict(info.get("owner"))
    tags = as_list(as_dict(info.get("tags")).get("tag"))
    return {
        **{key: info.get(key) for key in ("secret", "server", "license")},
        "owner": owner.get("nsid"),
        "ownername": owner.get("realname") or owner.get("username"),
        "dateupload": info.get("dateuploaded"),
        "title": flickr_content(info.get("title")),
        "tags": " ".join(filter(None, (as_text(flickr_content(tag)) for tag in tags))),
    }
