"""Visual Genome (R. Krishna et al., *International Journal of Computer Vision* 123, 2017): image_data.json."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import field_validator

from lightmeter.errors import UsageError
from lightmeter.harvest.sources.base import Argument, Checkpoint, Medium, Option, PhotoItem, Source, SourceQuery
from lightmeter.harvest.sources.rate_limit import FLICKR, RateLimit

if TYPE_CHECKING:
    from lightmeter.harvest.sources.flickr.client import Client

_BETWEEN_CHECKPOINTS = 100


class VisualGenome(Source):
    """Reads the list of images; takes them from where they were published, from Flickr, or from disk."""

    name = "visual_genome"
    summary = "images of Visual Genome: its own copies, or the originals on Flickr with their EXIF"
    service: ClassVar[RateLimit | None] = FLICKR
    schemes: ClassVar[frozenset[str]] = frozenset({"file", "http", "https"})

    class Query(SourceQuery):
        """The list, and where the images come from."""

        file: Path = Argument("image_data.json.")
        images: Path | None = Option(None, "Folder in which the images lie (VG_100K/…, VG_100K_2/…).")
        flickr: bool = Option(default=False, description="Take originals, EXIF, owner and licence from Flickr (key).")
        medium: Medium | None = Option(None, "How all of them were taken: film or digital.")

        @field_validator("file")
        @classmethod
        def _is_file(cls, file: Path) -> Path:
            if not file.is_file():
                raise ValueError(f"{file} is not a file")
            return file.absolute()

        @field_validator("images")
        @classmethod
        def _is_folder(cls, images: Path | None) -> Path | None:
            if images is not None and not images.is_dir():
                raise ValueError(f"{images} is not a folder")
            return images.absolute() if images else None

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        """Yield the images in the list's order, a checkpoint every hundred; with --flickr, those with an id."""
        client = self._client() if query.flickr else None
        listed = _read(query.file)
        for start in range(cursor["index"] if cursor else 0, len(listed), _BETWEEN_CHECKPOINTS):
            for image in listed[start : start + _BETWEEN_CHECKPOINTS]:
                if client is None:
                    yield _published(image, query)
                elif image.get("flickr_id"):
                    yield _on_flickr(client, image, query)
            yield Checkpoint({"index": start + _BETWEEN_CHECKPOINTS})

    def _client(self) -> "Client":
        from lightmeter.harvest.sources.flickr.source import connect

        return connect(self)


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{file} is not JSON: {error}.") from error
    if not isinstance(listed, list) or not all(isinstance(image, dict) and "image_id" in image for image in listed):
        raise UsageError(f"{file} is not Visual Genome's image_data.json: a list of images with image_id and url.")
    return listed


def _published(image: dict[str, Any], query: Any) -> PhotoItem:
    """Return an image as Visual Genome publishes it, or as it lies on disk."""
    address = str(image.get("url") or "")
    url = address if urlsplit(address).scheme in {"http", "https"} else None
    if query.images is not None:
        inside = ("", "", *PurePosixPath(urlsplit(address).path).parts)[-2:]  # VG_100K/1.jpg
        url = (query.images / inside[0] / inside[1]).as_uri() if {"", "/", "..", "."}.isdisjoint(inside) else None
    return PhotoItem(source_id=str(image["image_id"]), media_url=url, medium=query.medium, metadata=_about(image))


def _on_flickr(client: "Client", image: dict[str, Any], query: Any) -> PhotoItem:
    from lightmeter.harvest.sources.flickr.source import sighting_of_id

    found = sighting_of_id(client, str(image["flickr_id"]), query.medium)
    return replace(found, source_id=str(image["image_id"]), metadata=found.metadata | _about(image))


def _about(image: dict[str, Any]) -> dict[str, Any]:
    return {name: image[name] for name in ("flickr_id", "coco_id") if image.get(name)}
