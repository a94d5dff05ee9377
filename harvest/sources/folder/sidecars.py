"""Sidecar files beside photographs: JSON of gallery-dl, and XMP."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightmeter.harvest.dates import parse_time
from lightmeter.harvest.exif.xmp import xmp_tags
from lightmeter.harvest.sources.json_text import parse_json
from lightmeter.harvest.sources.local_files import read_small_file
from lightmeter.harvest.sources.photo_metadata import FLICKR_LICENCES, as_dict, as_text, credit_line, flickr_exif

_SUFFIXES = (".json", ".xmp")


class SidecarListing:
    """The sidecars in one folder.

    Sidecars are named ``1.jpg.json`` (``gallery-dl --write-metadata``), and ``1.jpg.xmp`` or ``1.xmp``, with suffixes
    in lower or upper case.

    Args:
        folder: The folder.
        names: Names of all files in it.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        self._names: dict[str, list[str]] = {}
        for name in names:
            if name.lower().endswith(_SUFFIXES):
                self._names.setdefault(name.lower(), []).append(name)

    def fields(self, photo: str) -> dict[str, Any]:
        """Return the fields of `Sighting` that the sidecars of a photograph provide; unreadable ones are ignored.

        Args:
            photo: Name of the photograph in the folder.
        """
        stem, suffix = Path(photo).stem, Path(photo).suffix
        fields = _gallery_dl_fields(self._read(stem, f"{suffix}.json"))
        exif = xmp_tags(self._read(stem, f"{suffix}.xmp")) or xmp_tags(self._read(stem, ".xmp"))
        return fields | {"exif": (exif | fields.get("exif", {})) or None, "exif_origin": "sidecar"}

    def _read(self, stem: str, suffix: str) -> bytes:
        """Return the bytes of a sidecar; the case of its suffix does not matter."""
        names = [name for name in self._names.get(f"{stem}{suffix}".lower(), ()) if name.startswith(stem)]
        name = min(names, key=lambda name: (name != f"{stem}{suffix}", name), default=None)
        return read_small_file(self._folder / name) if name else b""


def _gallery_dl_fields(data: bytes) -> dict[str, Any]:
    """Return the fields in gallery-dl's JSON; its keys depend on the site."""
    try:
        content = as_dict(parse_json(data or b"{}"))
    except ValueError:
        return {}
    title = as_text(content.get("title"))
    owner = _identifier(content.get("owner") or content.get("author") or content.get("user") or content.get("artist"))
    fields = {
        "page_url": _page_url(content),
        "owner": owner,
        "licence": _licence(content),
        "attribution": credit_line(title, owner, (as_text(content.get("category")) or "").capitalize()),
        "title": title,
        "tags": _tags(content.get("tags")),
        "published_at": parse_time(content.get("date")),
        "exif": flickr_exif(content),
        "metadata": {key: content[key] for key in ("category", "subcategory", "id", "subreddit") if content.get(key)},
    }
    return {name: value for name, value in fields.items() if value}


def _page_url(content: dict[str, Any]) -> str | None:
    nsid = as_text(as_dict(content.get("owner")).get("nsid"))
    if content.get("category") == "flickr" and nsid:
        return f"https://www.flickr.com/photos/{nsid}/{content.get('id')}"
    link = content.get("permalink") or content.get("post_url") or content.get("page_url")
    if not isinstance(link, str):
        return None
    return f"https://www.reddit.com{link}" if link.startswith("/r/") else link


def _identifier(owner: Any) -> str | None:
    """Return the owner, preferably as an identifier: names may change."""
    if isinstance(owner, dict):
        owner = next((owner[key] for key in ("nsid", "id", "username", "name") if as_text(owner.get(key))), None)
    return as_text(owner)


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
