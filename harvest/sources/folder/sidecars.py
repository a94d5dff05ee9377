"""Sidecar files beside photographs: JSON of gallery-dl, and XMP."""

import json
from pathlib import Path
from typing import Any

from lightmeter.harvest.exif.xmp import xmp_tags
from lightmeter.harvest.sources.photo_metadata import FLICKR_LICENCES, credit_line, flickr_exif, parse_time

_MAX_BYTES = 4 << 20


def read_sidecars(photo: Path) -> dict[str, Any]:
    """Return the fields of `Sighting` that the sidecars of a photograph provide; unreadable sidecars are ignored.

    Sidecars are named ``1.jpg.json`` (``gallery-dl --write-metadata``), and ``1.jpg.xmp`` or ``1.xmp``.
    """
    fields = _gallery_dl_fields(photo.with_name(f"{photo.name}.json"))
    exif = xmp_tags(_read(photo.with_name(f"{photo.name}.xmp"))) or xmp_tags(_read(photo.with_suffix(".xmp")))
    return fields | {"exif": (exif | fields.get("exif", {})) or None, "exif_origin": "sidecar"}


def _gallery_dl_fields(file: Path) -> dict[str, Any]:
    """Return the fields in gallery-dl's JSON; its keys depend on the site."""
    try:
        content = json.loads(_read(file) or b"{}")
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    title = content["title"] if isinstance(content.get("title"), str) else None
    owner = _identifier(content.get("owner") or content.get("author") or content.get("user") or content.get("artist"))
    fields = {
        "page_url": _page_url(content),
        "owner": owner,
        "licence": _licence(content),
        "attribution": credit_line(title, owner, str(content.get("category") or "").capitalize()),
        "title": title,
        "tags": _tags(content.get("tags")),
        "published_at": parse_time(content.get("date")),
        "exif": flickr_exif(content) if isinstance(content.get("exif"), list) else {},
        "metadata": {key: content[key] for key in ("category", "subcategory", "id", "subreddit") if content.get(key)},
    }
    return {name: value for name, value in fields.items() if value}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes() if file.stat().st_size <= _MAX_BYTES else b""
    except OSError:
        return b""


def _page_url(content: dict[str, Any]) -> str | None:
    owner = content.get("owner")
    if content.get("category") == "flickr" and isinstance(owner, dict) and owner.get("nsid"):
        return f"https://www.flickr.com/photos/{owner['nsid']}/{content.get('id')}"
    link = content.get("permalink") or content.get("post_url") or content.get("page_url")
    if not isinstance(link, str):
        return None
    return f"https://www.reddit.com{link}" if link.startswith("/r/") else link


def _identifier(owner: Any) -> str | None:
    """Return the owner, preferably as an identifier: names may change."""
    if isinstance(owner, dict):
        owner = next((owner[key] for key in ("nsid", "id", "username", "name") if owner.get(key)), None)
    return str(owner) if owner else None


def _licence(content: dict[str, Any]) -> str | None:
    number = content.get("license")
    if content.get("category") == "flickr" and str(number) in FLICKR_LICENCES:
        return FLICKR_LICENCES[str(number)]
    licence = content.get("license_url") or content.get("license_name") or number
    return licence if isinstance(licence, str) else None


def _tags(tags: Any) -> tuple[str, ...]:
    if isinstance(tags, str):
        tags = tags.split()
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
