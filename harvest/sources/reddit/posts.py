"""Conversion of Reddit posts, from the API or a dump, to items."""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from lightmeter.harvest.sources.base import Medium, Sighting
from lightmeter.harvest.sources.photo_metadata import parse_timestamp

Post = Mapping[str, Any]

_IMAGE_PATH = re.compile(r"\.(jpe?g|png|webp|tiff?)$", re.IGNORECASE)
_IMGUR_PAGE = re.compile(r"/(?:r/\w+/)?(\w{5,10})")
_NO_AUTHOR = {"", "None", "[deleted]"}
_SUFFIXES = {"image/jpg": "jpg", "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}

_BRACKETS = re.compile(r"[\[({]([^\[\](){}]+)[\])}]")
_SEPARATORS = re.compile(r"\s*(?:[|,;•·]|\s[/+&–—-]\s)\s*")
_NOT_A_TAG = re.compile(r"oc|nsfw|\d+\s*[x×]\s*\d+|\d{4}|[\W_]*", re.IGNORECASE)
_MAX_TAG_LENGTH = 60
_FILM_STOCKS = re.compile(
    r"\b(?:(?:kodak\s+)?(?:portra|ektar|gold|tri-?x|t-?max|colorplus|color\s?plus|ultramax|ektachrome|double-?x|vision\s?3)"
    r"|(?:fuji(?:film|color|chrome)?\s+)?(?:superia|provia|velvia|astia|acros|neopan|natura|c200|pro\s?400h)"
    r"|(?:ilford\s+)?(?:hp5|fp4|delta|pan\s?f|xp2|sfx|kentmere)"
    r"|cine\s?still|fomapan|rollei\s+retro|lomo(?:chrome|graphy)?\s+\w+|phoenix|harman\s+\w+)"
    r"(?:[\s-]*(?:e?\d{2,4}[a-z]?|\+|plus|pan|x-tra|ii))*",
    re.IGNORECASE,
)


def post_to_items(post: Post, medium: Medium | None, concepts: tuple[str, ...]) -> Iterator[Sighting]:
    """Yield the photographs of a post: none for text and video, several for a gallery.

    A crosspost yields the photographs of the original post, so that their identifiers are the same everywhere.

    Args:
        post: The post as the API or a dump returns it.
        medium: Medium, if it is known.
        concepts: Search terms.
    """
    parents = post.get("crosspost_parent_list") or []
    original: Post = parents[0] if parents else post
    removed = _removal_reason(original)
    for number, (media_id, url) in enumerate(_images(original), start=1):
        yield Sighting(
            source_id=str(original["id"]) if media_id is None else f"{original['id']}-{media_id}",
            media_url=url if not removed else None,
            gone=removed or (None if url else "gallery image is gone"),
            medium=medium,
            concepts=concepts,
            metadata=_metadata(original, number, url),
            **_common_fields(original),
        )


def title_tags(title: str, flair: str | None = None) -> tuple[str, ...]:
    """Return the post's flair, the film stocks in a title, and what is in brackets, often camera, lens and film.

    Example:
        >>> title_tags("Fog [Leica M6 | Summicron 35mm | Portra 400]")
        ('leica m6', 'summicron 35mm', 'portra 400')
    """
    tags: list[str] = [flair] if flair else []
    for group in _BRACKETS.findall(title):
        tags += _SEPARATORS.split(group)
    tags += [match[0] for match in _FILM_STOCKS.finditer(_BRACKETS.sub(" ", title))]
    plain = (re.sub(r"\s+", " ", tag).strip(" .-–—").lower() for tag in tags)
    return tuple(dict.fromkeys(tag for tag in plain if len(tag) <= _MAX_TAG_LENGTH and not _NOT_A_TAG.fullmatch(tag)))


def _common_fields(post: Post) -> dict[str, Any]:
    author = str(post.get("author") or "")
    owner = None if author in _NO_AUTHOR else author
    title = unescape(str(post.get("title") or "")) or None
    return {
        "page_url": f"https://www.reddit.com{post['permalink']}" if post.get("permalink") else None,
        "owner": owner,
        "attribution": f"{title} by u/{owner} on Reddit" if owner else None,
        "title": title,
        "tags": title_tags(title or "", post.get("link_flair_text")),
        "published_at": parse_timestamp(post.get("created_utc") or None),
    }


def _metadata(post: Post, number: int, url: str | None) -> dict[str, Any]:
    is_preview = urlsplit(url or "").hostname in {"preview.redd.it", "external-preview.redd.it"}
    fields = {
        "post": post["id"],
        "subreddit": str(post.get("subreddit") or ""),
        "flair": post.get("link_flair_text"),
        "gallery_index": number if post.get("is_gallery") else None,
        "preview": True if is_preview else None,
        "over_18": True if post.get("over_18") else None,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _removal_reason(post: Post) -> str | None:
    category = post.get("removed_by_category")
    if category:
        return f"removed by {category}"
    deleted = str(post.get("author")) == "[deleted]" and post.get("selftext") == "[deleted]"
    return "removed by deleted" if deleted else None


def _images(post: Post) -> Iterator[tuple[str | None, str | None]]:
    """Yield media id and URL of each image; the id is None outside galleries, the URL None if the image is gone."""
    if post.get("is_gallery"):
        media = post.get("media_metadata") or {}
        items = (post.get("gallery_data") or {}).get("items") or [{"media_id": media_id} for media_id in media]
        for item in items:
            yield item["media_id"], _gallery_url(item["media_id"], media.get(item["media_id"]) or {})
        if not items:
            yield None, None
    elif not post.get("is_video") and not post.get("is_self"):
        url = _original_url(unescape(str(post.get("url_overridden_by_dest") or post.get("url") or "")))
        url = url or _preview_url(post)
        if url:
            yield None, url


def _gallery_url(media_id: str, media: Mapping[str, Any]) -> str | None:
    """Return the URL of a gallery image's original."""
    suffix = _SUFFIXES.get(str(media.get("m")))
    if media.get("status") != "valid" or media.get("e") != "Image" or suffix is None:
        return None
    return f"https://i.redd.it/{media_id}.{suffix}"


def _original_url(url: str) -> str | None:
    """Return the URL of the image file that a post links to, if it links to one."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    if parts.scheme not in {"http", "https"}:
        return None
    if host == "i.redd.it" or _IMAGE_PATH.search(parts.path):
        return url if not parts.path.endswith((".gif", ".mp4")) else None
    page = _IMGUR_PAGE.fullmatch(parts.path)
    if host == "imgur.com" and page and page[1] not in {"gallery", "album"}:
        return f"https://i.imgur.com/{page[1]}.jpg"  # imgur ignores the suffix
    return None


def _preview_url(post: Post) -> str | None:
    """Return Reddit's copy of an image on another site; it is not the original file."""
    images = (post.get("preview") or {}).get("images") or []
    if post.get("post_hint") not in {"image", "link"} or not images or not images[0].get("source"):
        return None
    return unescape(str(images[0]["source"]["url"]))
