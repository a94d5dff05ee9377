"""What Flickr tells of a photograph, made into a sighting."""

from datetime import UTC, datetime
from typing import Any

from lightmeter.harvest import licences
from lightmeter.harvest.sources.base import Medium, PhotoItem

SIZES = {
    "s": "sq", "q": "q", "t": "t", "m": "s", "n": "n", "w": "w", "default": "m", "z": "z", "c": "c", "b": "l", "h": "h",
    "k": "k", "3k": "3k", "4k": "4k", "f": "f", "5k": "5k", "6k": "6k", "o": "o",
}  # fmt: skip
"""Sizes from small to large, as addresses name them; and as API answers do, behind ``url_``.

See https://www.flickr.com/services/api/misc.urls.html: ``default`` is 500 pixels long and has no letter."""

LARGEST_WITHOUT_ASKING = "b"
"""Above 1024 pixels a size has a secret of its own, which only the API tells."""

EXTRAS = ",".join(
    ["license", "date_upload", "owner_name", "tags", "media", *(f"url_{name}" for name in SIZES.values())]
)

LICENCES = {
    "0": licences.ALL_RIGHTS_RESERVED,
    "1": "CC-BY-NC-SA-2.0",
    "2": "CC-BY-NC-2.0",
    "3": "CC-BY-NC-ND-2.0",
    "4": "CC-BY-2.0",
    "5": "CC-BY-SA-2.0",
    "6": "CC-BY-ND-2.0",
    "7": licences.NO_KNOWN_RESTRICTIONS,
    "8": licences.UNITED_STATES_GOVERNMENT,
    "9": "CC0-1.0",
    "10": licences.PUBLIC_DOMAIN,
    "11": "CC-BY-4.0",
    "12": "CC-BY-SA-4.0",
    "13": "CC-BY-ND-4.0",
    "14": "CC-BY-NC-4.0",
    "15": "CC-BY-NC-SA-4.0",
    "16": "CC-BY-NC-ND-4.0",
}
"""By Flickr's licence numbers, as flickr.photos.licenses.getInfo lists them."""


def nearest_size(wanted: str, there: set[str]) -> str | None:
    """Return the size nearest to the wanted one of those that are there; of two as near, the larger."""
    order = list(SIZES)
    place = order.index(wanted)
    return min(there, key=lambda size: (abs(order.index(size) - place), -order.index(size)), default=None)


def media_url(photo: dict[str, Any], wanted: str) -> str | None:
    """Return the address of the size nearest to the wanted one, as a listing told it; None if it told none."""
    told = {size: photo[f"url_{name}"] for size, name in SIZES.items() if photo.get(f"url_{name}")}
    size = nearest_size(wanted, set(told))
    return told[size] if size else None


def built_url(photo: dict[str, Any], wanted: str) -> str:
    """Return the address that a photograph's id, secret and server make."""
    letter = "" if wanted == "default" else f"_{wanted}"
    return f"https://live.staticflickr.com/{photo['server']}/{photo['id']}_{photo['secret']}{letter}.jpg"


def listed_form(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what photos.getInfo tells of a photograph in the form in which listings tell it."""
    photo: dict[str, Any] = answer["photo"]
    owner = photo.get("owner") or {}
    tags = (photo.get("tags") or {}).get("tag") or []
    return {
        "id": photo["id"],
        "secret": photo.get("secret"),
        "server": photo.get("server"),
        "owner": owner.get("nsid"),
        "ownername": owner.get("realname") or owner.get("username"),
        "license": photo.get("license"),
        "dateupload": photo.get("dateuploaded"),
        "title": _content(photo.get("title")),
        "tags": " ".join(str(_content(tag)) for tag in tags),
    }


def exif_tags(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the tags of a getExif answer, ``tagspace:tag`` to raw value; the first of several counts."""
    tags: dict[str, Any] = {}
    for entry in answer["photo"].get("exif", []):
        tags.setdefault(f"{entry['tagspace']}:{entry['tag']}", _content(entry.get("raw")))
    return tags


def sighting(
    photo: dict[str, Any], url: str | None, *, concepts: tuple[str, ...], medium: Medium | None, exif: Any, hidden: bool
) -> PhotoItem:
    """Return the sighting of a photograph.

    Args:
        photo: as a listing tells it.
        url: of the bytes.
        concepts: what was searched for.
        medium: how it was taken, if that is known.
        exif: tags that Flickr told.
        hidden: whether its owner does not show EXIF.
    """
    owner = photo.get("owner")
    licence = LICENCES.get(str(photo.get("license", "")))
    title = _content(photo.get("title")) or None
    metadata = {key: photo[key] for key in ("secret", "server") if photo.get(key)}
    page = f"https://www.flickr.com/photos/{owner}/{photo['id']}" if owner else None
    return PhotoItem(
        source_id=str(photo["id"]),
        media_url=url,
        page_url=page,
        owner=owner,
        licence=licence,
        attribution=f"{title or 'Photograph'} by {photo.get('ownername') or owner} on Flickr" if owner else None,
        title=title,
        tags=tuple(str(photo.get("tags") or "").split()),
        medium=medium,
        concepts=concepts,
        published_at=_moment(photo.get("dateupload")),
        exif=exif,
        metadata=metadata | ({"exif": "hidden by the owner"} if hidden else {}),
    )


def _content(value: Any) -> Any:
    return value.get("_content") if isinstance(value, dict) else value


def _moment(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
