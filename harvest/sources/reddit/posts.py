"""Posts, as Reddit's API and dumps of it tell them, made into sightings."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from lightmeter.harvest.sources.base import Medium, PhotoItem
from lightmeter.harvest.sources.reddit.titles import tags_of

Post = Mapping[str, Any]

_PICTURE = re.compile(r"\.(jpe?g|png|webp|tiff?)$", re.IGNORECASE)
_IMGUR_PAGE = re.compile(r"/(?:r/\w+/)?(\w{5,10})")
_NOBODY = {"", "None", "[deleted]"}
_SUFFIXES = {"image/jpg": "jpg", "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}


def sightings(post: Post, medium: Medium | None, concepts: tuple[str, ...]) -> Iterator[PhotoItem]:
    """Yield the photographs of a post: none of a text or a video, many of a gallery.

    A crosspost is the post that it repeats, so that a photograph has one id wherever it is shown.

    Args:
        post: as the API or a dump tells it.
        medium: how it was taken, if that is known.
        concepts: what was searched for.
    """
    parents = post.get("crosspost_parent_list") or []
    original: Post = parents[0] if parents else post
    removed = _removed(original)
    for number, (media, picture) in enumerate(_pictures(original)):
        yield PhotoItem(
            source_id=str(original["id"]) if media is None else f"{original['id']}-{media}",
            media_url=picture if not removed else None,
            gone=removed or (None if picture else "gallery picture is gone"),
            **_told(original, medium, concepts),
            metadata=_metadata(original, number, picture),
        )


def _told(post: Post, medium: Medium | None, concepts: tuple[str, ...]) -> dict[str, Any]:
    author = str(post.get("author") or "")
    owner = None if author in _NOBODY else author
    page = f"https://www.reddit.com{post['permalink']}" if post.get("permalink") else None
    title = unescape(str(post.get("title") or "")) or None
    return {
        "page_url": page,
        "owner": owner,
        "attribution": f"{title} by u/{owner} on Reddit" if owner else None,
        "title": title,
        "tags": tags_of(title or "", post.get("link_flair_text")),
        "medium": medium,
        "concepts": concepts,
        "published_at": datetime.fromtimestamp(float(post["created_utc"]), UTC) if post.get("created_utc") else None,
    }


def _metadata(post: Post, number: int, picture: str | None) -> dict[str, Any]:
    told = {"post": post["id"], "subreddit": str(post.get("subreddit") or ""), "flair": post.get("link_flair_text")}
    if post.get("is_gallery"):
        told["place_in_gallery"] = number + 1
    if picture and urlsplit(picture).hostname in {"preview.redd.it", "external-preview.redd.it"}:
        told["preview"] = True
    if post.get("over_18"):
        told["over_18"] = True
    return {key: value for key, value in told.items() if value is not None}


def _removed(post: Post) -> str | None:
    """Return why a post is not shown any more: by a moderator, by Reddit, by its author."""
    by = post.get("removed_by_category")
    if by:
        return f"removed by {by}"
    deleted = str(post.get("author")) == "[deleted]" and post.get("selftext") == "[deleted]"
    return "removed by deleted" if deleted else None


def _pictures(post: Post) -> Iterator[tuple[str | None, str | None]]:
    """Yield a gallery's pictures with their ids, or a post's one picture without; an address of None is gone."""
    if post.get("is_gallery"):
        known = post.get("media_metadata") or {}
        items = (post.get("gallery_data") or {}).get("items") or [{"media_id": media} for media in known]
        for item in items:
            yield item["media_id"], _gallery_picture(item["media_id"], known.get(item["media_id"]) or {})
        if not items:
            yield None, None
        return
    if post.get("is_video") or post.get("is_self"):
        return
    address = _direct(unescape(str(post.get("url_overridden_by_dest") or post.get("url") or "")))
    picture = address or _preview(post)
    if picture:
        yield None, picture


def _gallery_picture(media: str, told: Mapping[str, Any]) -> str | None:
    """Return the address of a gallery picture's original."""
    suffix = _SUFFIXES.get(str(told.get("m")))
    if told.get("status") != "valid" or told.get("e") != "Image" or suffix is None:
        return None
    return f"https://i.redd.it/{media}.{suffix}"


def _direct(address: str) -> str | None:
    """Return the address of the picture itself, if a post's address leads to one."""
    parts = urlsplit(address)
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    if parts.scheme not in {"http", "https"}:
        return None
    if host == "i.redd.it" or _PICTURE.search(parts.path):
        return address if not parts.path.endswith((".gif", ".mp4")) else None
    page = _IMGUR_PAGE.fullmatch(parts.path)
    if host == "imgur.com" and page and page[1] not in {"gallery", "album"}:
        return f"https://i.imgur.com/{page[1]}.jpg"  # whatever it is, imgur serves it under any suffix
    return None


def _preview(post: Post) -> str | None:
    """Return Reddit's own copy of a picture that lies elsewhere; it is not the original file."""
    images = (post.get("preview") or {}).get("images") or []
    if post.get("post_hint") not in {"image", "link"} or not images or not images[0].get("source"):
        return None
    return unescape(str(images[0]["source"]["url"]))
