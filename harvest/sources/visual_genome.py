"""Visual Genome (R. Krishna et al., *International Journal of Computer Vision* 123, 2017): image_data.json."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import urlsplit

from lightmeter.errors import UsageError
from lightmeter.harvest.sources.base import (
    Argument,
    Cursor,
    InputFile,
    InputFolder,
    Item,
    Medium,
    Option,
    Sighting,
    Source,
    SourceQuery,
)
from lightmeter.harvest.sources.flickr.client import Client, connect
from lightmeter.harvest.sources.flickr.photos import item_by_id
from lightmeter.harvest.sources.json_text import parse_json
from lightmeter.harvest.sources.photo_metadata import as_text, items_with_checkpoints, web_url
from lightmeter.harvest.sources.rate_limit import FLICKR, RateLimit

Record = dict[str, Any]


class VisualGenome(Source):
    """Reads the list of images; the files come from the publisher, from Flickr or from disk."""

    name = "visual-genome"
    summary = "images of Visual Genome: its own copies, or the originals on Flickr with their EXIF"
    rate_limit: ClassVar[RateLimit | None] = FLICKR
    schemes: ClassVar[frozenset[str]] = frozenset({"file", "http", "https"})

    class Query(SourceQuery):
        """Harvest the images of Visual Genome."""

        file: InputFile = Argument("The list image_data.json.")
        images: InputFolder | None = Option(None, "Folder with VG_100K/ and VG_100K_2/ (default: download).")
        flickr: bool = Option(
            default=False, description="Fetch originals, EXIF, owner and licence from Flickr; needs a key."
        )
        medium: Medium | None = Option(None, "Medium of all photographs.")

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield the images in the order of the list; with ``--flickr`` those with a Flickr identifier."""
        images = _read_list(query.file)
        convert: Callable[[Record], Sighting | None] = partial(_published_item, query=query)
        if query.flickr:
            convert = partial(_flickr_item, query=query, client=connect(self))
        return items_with_checkpoints(images, convert, cursor, location=str(query.file))


def _read_list(file: Path) -> list[Record]:
    try:
        records = parse_json(file.read_text(encoding="utf-8-sig", errors="replace"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as JSON: {error}.") from error
    if not isinstance(records, list):
        raise UsageError(f"{file} is not Visual Genome's image_data.json: a list of images with image_id and url.")
    return records


def _published_item(image: Record, query: Any) -> Sighting:
    """Return an image as Visual Genome publishes it, or as it is on disk."""
    url = web_url(image.get("url"))
    if query.images is not None:
        folder, name = ("", "", *PurePosixPath(urlsplit(str(image.get("url"))).path).parts)[-2:]  # VG_100K/1.jpg
        url = (query.images / folder / name).as_uri() if {"", "/", "..", "."}.isdisjoint({folder, name}) else None
    return Sighting(source_id=_image_id(image), media_url=url, medium=query.medium, metadata=_metadata(image))


def _flickr_item(image: Record, query: Any, client: Client) -> Sighting | None:
    """Return the original of an image on Flickr; None if it has no Flickr identifier."""
    if not image.get("flickr_id"):
        return None
    item = item_by_id(client, str(image["flickr_id"]), query.medium)
    return replace(item, source_id=_image_id(image), metadata=item.metadata | _metadata(image))


def _image_id(image: Record) -> str:
    image_id = as_text(image.get("image_id"))
    if image_id is None:
        raise ValueError("the image has no image_id")
    return image_id


def _metadata(image: Record) -> dict[str, Any]:
    return {name: image[name] for name in ("flickr_id", "coco_id") if image.get(name)}
