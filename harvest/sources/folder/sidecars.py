"""Files beside photographs that say more of them: gallery-dl's JSON, and XMP."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightmeter.harvest import licences
from lightmeter.harvest.exif.xmp import xmp_tags
from lightmeter.harvest.sources.flickr.photographs import LICENCES, exif_tags

_MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the files beside a photograph say; the fields are those of a sighting."""

    page_url: str | None = None
    owner: str | None = None
    licence: str | None = None
    title: str | None = None
    tags: tuple[str, ...] = ()
    published_at: datetime | None = None
    exif: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def attribution(self) -> str | None:
        """The line that names who made it."""
        where = f" on {str(self.metadata.get('category')).capitalize()}" if self.metadata.get("category") else ""
        return f"{self.title or 'Photograph'} by {self.owner}{where}" if self.owner else None


def read_sidecars(photograph: Path) -> Sidecar:
    """Return what the files beside a photograph say; one that cannot be read says nothing.

    They are named ``1.jpg.json`` (gallery-dl's ``--write-metadata``), and ``1.jpg.xmp`` or ``1.xmp``.
    """
    told = _gallery_dl(photograph.with_name(f"{photograph.name}.json"))
    tags = _xmp(photograph.with_name(f"{photograph.name}.xmp")) or _xmp(photograph.with_suffix(".xmp"))
    return Sidecar(**told | {"exif": tags | told.get("exif", {})})


def _xmp(file: Path) -> dict[str, Any]:
    return {f"{group}:{name}": value for group, tags in xmp_tags(_bytes(file)).items() for name, value in tags.items()}


def _gallery_dl(file: Path) -> dict[str, Any]:
    """Return what gallery-dl wrote, under a sighting's names; each site has words of its own."""
    try:
        said = json.loads(_bytes(file) or b"{}")
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    told = {
        "page_url": _page(said),
        "owner": _name(said.get("owner") or said.get("author") or said.get("user") or said.get("artist")),
        "licence": _licence(said),
        "title": said["title"] if isinstance(said.get("title"), str) and said["title"] else None,
        "tags": _tags(said.get("tags")),
        "published_at": _moment(said.get("date")),
        "exif": exif_tags({"photo": said}) if isinstance(said.get("exif"), list) else {},
        "metadata": {name: said[name] for name in ("category", "subcategory", "id", "subreddit") if said.get(name)},
    }
    return {name: value for name, value in told.items() if value}


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes() if file.stat().st_size <= _MOST_BYTES else b""
    except OSError:
        return b""


def _page(said: dict[str, Any]) -> str | None:
    owner = said.get("owner")
    if said.get("category") == "flickr" and isinstance(owner, dict) and owner.get("nsid"):
        return f"https://www.flickr.com/photos/{owner['nsid']}/{said.get('id')}"
    link = said.get("permalink") or said.get("post_url") or said.get("page_url")
    if not isinstance(link, str):
        return None
    return f"https://www.reddit.com{link}" if link.startswith("/r/") else link


def _name(who: Any) -> str | None:
    """Return who made it: an id that stays, rather than a name that may change."""
    if isinstance(who, dict):
        who = next((who[key] for key in ("nsid", "id", "username", "name") if who.get(key)), None)
    return str(who) if who else None


def _licence(said: dict[str, Any]) -> str | None:
    number = said.get("license")
    if said.get("category") == "flickr" and str(number) in LICENCES:
        return LICENCES[str(number)]
    named = said.get("license_url") or said.get("license_name") or number
    return licences.normalise(named) if isinstance(named, str) else None


def _tags(said: Any) -> tuple[str, ...]:
    if isinstance(said, str):
        said = said.split()
    return tuple(str(tag) for tag in said if isinstance(tag, str)) if isinstance(said, list) else ()


def _moment(said: Any) -> datetime | None:
    """Return gallery-dl's ``2020-01-02 03:04:05``, which is UTC."""
    try:
        moment = datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
