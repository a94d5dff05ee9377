"""Regions cut out of their photographs: faces with a margin, the inside of a frame."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Images
from sqlalchemy import ColumnElement, Engine, select, true

from lightmeter.files import atomic_path
from lightmeter.harvest.catalogue.models import Image, Region
from lightmeter.harvest.catalogue.regions import effective_regions
from lightmeter.harvest.filters import Box, DecodedImage
from lightmeter.harvest.filters.faces import crop
from lightmeter.harvest.store import path_of

_PAGE = 500
_LIST = "crops.csv"
_COLUMNS = ("file", "sha256", "kind", "x", "y", "width", "height", "score")


@dataclass(frozen=True)
class CropOptions:
    """Which regions are cut out.

    Attributes:
        kind: ``face``, ``inside``.
        margin: on each side, as a share of the region's longer side.
        min_score: below which a region that was found is left out; regions without a score are taken.
        where: of which images; None for all.
    """

    kind: str
    margin: float = 0.0
    min_score: float = 0.0
    where: ColumnElement[bool] | None = None


def write_crops(
    engine: Engine, store: Path, folder: Path, wanted: CropOptions, advance: Callable[[int], object] = lambda _: None
) -> int:
    """Write each region as a PNG, upright and with its own pixels, and a list of where they come from.

    Args:
        engine: of the catalogue.
        store: the photo store's folder.
        folder: to write to.
        wanted: which regions.
        advance: told the number of regions done.

    Returns:
        How many were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    with atomic_path(folder / _LIST) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
        rows.writeheader()
        for region in _regions(engine, wanted):
            target = folder / f"{region['sha256'][:16]}-{region['id']}.png"
            if _cut(path_of(store, region["sha256"]), region, wanted.margin, target):
                rows.writerow({"file": target.name, **region})
                written += 1
            advance(1)
    return written


def _regions(engine: Engine, wanted: CropOptions) -> Iterator[dict[str, Any]]:
    last = 0
    chosen = true() if wanted.where is None else wanted.where
    query = (
        select(Region.__table__, Image.sha256)
        .join(Image, Image.id == Region.image_id)
        .where(effective_regions(wanted.kind, wanted.min_score), chosen)
        .order_by(Region.id)
        .limit(_PAGE)
    )
    while True:
        with engine.connect() as connection:
            page = [dict(row) for row in connection.execute(query.where(Region.id > last)).mappings()]
        if not page:
            return
        yield from page
        last = page[-1]["id"]


def _cut(source: Path, region: dict[str, Any], margin: float, target: Path) -> bool:
    """Write one region; return whether its photograph could still be read."""
    box = Box(region["kind"], region["x"], region["y"], region["width"], region["height"])
    try:
        with Images.open(io.BytesIO(source.read_bytes())) as image:
            image.load()
            pixels = crop(DecodedImage(image, region["orientation"]), box, margin)
    except OSError:
        return False
    with atomic_path(target) as temporary:
        Images.fromarray(pixels).save(temporary, "PNG")
    return True
