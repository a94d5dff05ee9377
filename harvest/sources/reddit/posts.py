"""Conversion of Reddit posts, from the API or a dump, to items."""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from lightmeter.harvest.dates import parse_timestamp
from lightmeter.harvest.sources.base import Medium, Sighting
from lightmeter.harvest.sources.photo_metadata import as_dict, as_list, as_text

Post = Mapping[str, Any]

_IMAGE_PATH = re.compile(r"\.(jpe?g|png|webp|tiff?)$", re.IGNORECASE)
_IMGUR_PAGE = re.compile(r"/(?:r/\w+/)?(\w{5,10})")
_NO_AUTHOR = {"", "None", "[deleted]"}
_SUFFIXES = {"image/jpg": "jpg", "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}

_BRACKETS = re.compile(r"[\[({]([^\[\](){}]+)[\])}]")
_SEPARATORS = re.compile(r"[|,;•·]| [/+&–—-] ")
_NOT_A_TAG = re.compile(r"oc|nsfw|\d+\s*[x×]\s*\d+|\d{4}|[\W_]*", re.IGNORECASE)
_MAX_TAG_LENGTH = 60
_MAX_TITLE_LENGTH = 1000  # Reddit allows 300
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
    original: Post = next(filter(None, map(as_dict, as_list(post.get("crosspost_parent_list")))), post)
    post_id = as_text(original.get("id"))
    if post_id is None:
        raise ValueError("the post has no id")
    removed = _removal_reason(original)
    for number, (media_id, url) in enumerate(_images(original), start=1):
        yield Sighting(
            source_id=post_id if media_id is None else f"{post_id}-{media_id}",
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
    title = " ".join(title[:_MAX_TITLE_LENGTH].split())
    for group in _BRACKETS.findall(title):
        tags += _SEPARATORS.split(group)
    tags += [match[0] for match in _FILM_STOCKS.finditer(_BRACKETS.sub(" ", title))]
    plain = (" ".join(tag.split()).strip(" .-–—").lower() for tag in tags)
    return tuple(dict.fromkeys(tag for tag in plain if len(tag) <= _MAX_TAG_LENGTH and not _NOT_A_TAG.fullmatch(tag)))


def _common_fields(post: Post) -> dict[str, Any]:
    author = _author(post)
    owner = None if author in _NO_AUTHOR else author
    title = unescape(as_text(post.get("title")) or "") or None
    permalink = as_text(post.get("permalink"))
    return {
        "page_url": f"https://www.reddit.com{permalink}" if permalink else None,
        "owner": owner,
        "attribution": f"{title} by u/{owner} on Reddit" if owner else None,
        "title": title,
        "tags": title_tags(title or "", as_text(post.get("link_flair_text"))),
        "published_at": parse_timestamp(post.get("created_utc") or None),
    }


def _author(post: Post) -> str:
    """Return the author's name; PRAW gives an object that converts to it."""
    author = post.get("author")
    return "" if author is None or isinstance(author, dict | list) else str(author)


def _metadata(post: Post, number: int, url: str | None) -> dict[str, Any]:
    is_preview = (url or "").startswith(("https://preview.redd.it/", "https://external-preview.redd.it/"))
    fields = {
        "post": post["id"],
        "subreddit": str(post.get("subreddit") or ""),
        "flair": as_text(post.get("link_flair_text")),
        "gallery_index": number if post.get("is_gallery") else None,
        "preview": True if is_preview else None,
        "over_18": True if post.get("over_18") else None,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _removal_reason(post: Post) -> str | None:
    category = as_text(post.get("removed_by_category"))
    if category:
        return f"removed by {category}"
    deleted = _author(post) == "[deleted]" and post.get("selftext") == "[deleted]"
    return "removed by deleted" if deleted else None


def _images(post: Post) -> Iterator[tuple[str | None, str | None]]:
    """Yield media id and URL of each image; the id is None outside galleries, the URL None if the image is gone."""
    if post.get("is_gallery"):
        media = as_dict(post.get("media_metadata"))
        items = as_list(as_dict(post.get("gallery_data")).get("items")) or [
            {"media_id": media_id} for media_id in media
        ]
        for number, item in enumerate(items, start=1):
            media_id = as_text(as_dict(item).get("media_id"))
            yield (
                media_id or f"item-{number}",
                _gallery_url(media_id, as_dict(media.get(media_id))) if media_id else None,
            )
        if not items:
            yield None, None
    elif not post.get("is_video") and not post.get("is_self"):
        address = as_text(post.get("url_overridden_by_dest")) or as_text(post.get("url"))
        url = _original_url(unescape(address or "")) or _preview_url(post)
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
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # which fails by its address
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
    images = as_list(as_dict(post.get("preview")).get("images"))
    url = as_text(as_dict(as_dict(images[0]).get("source")).get("url")) if images else None
    return unescape(url) if url and post.get("post_hint") in ("image", "link") else None
