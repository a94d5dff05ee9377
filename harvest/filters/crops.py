"""Regions cut out of their photographs: faces with a margin, or the area inside a frame."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from sqlalchemy import ColumnElement, Engine, RowMapping, select, true

from lightmeter.files import atomic_path
from lightmeter.harvest.catalogue.models import Image as ImageRecord
from lightmeter.harvest.catalogue.models import Region
from lightmeter.harvest.catalogue.regions import effective_regions
from lightmeter.harvest.filters.faces import crop
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.geometry import Box
from lightmeter.images.reader import open_image
from lightmeter.store.base import PhotographError, PhotoStore
from lightmeter.text.spreadsheets import quote_row

_LIST = "crops.csv"
_COLUMNS = ("file", "sha256", "kind", "x", "y", "width", "height", "score")
_BATCH = 500


@dataclass(frozen=True)
class CropOptions:
    """Which regions are cut out.

    Attributes:
        kind: Kind of region: ``face`` or ``inside``.
        margin: Margin on each side, as a fraction of the region's longer side.
        min_score: Minimum score of detected regions; regions without a score are always included.
        where: Condition on images.
    """

    kind: str
    margin: float = 0.0
    min_score: float = 0.0
    where: ColumnElement[bool] | None = None


def write_crops(
    engine: Engine,
    store: PhotoStore,
    folder: Path,
    options: CropOptions,
    on_progress: Callable[[int], object] = lambda _: None,
) -> int:
    """Write each region as a PNG in display orientation at native resolution, and list them in ``crops.csv``.

    Args:
        engine: Engine of the catalogue.
        store: The photo store.
        folder: Output directory.
        options: Which regions.
        on_progress: Called with the number of regions processed since the last call.

    Returns:
        Number of files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    query = (
        select(Region.__table__, ImageRecord.sha256)
        .join(ImageRecord, ImageRecord.id == Region.image_id)
        .where(effective_regions(options.kind, options.min_score), true() if options.where is None else options.where)
        .order_by(Region.id)
        .execution_options(yield_per=_BATCH)
    )
    count = 0
    with (
        engine.connect() as connection,
        atomic_path(folder / _LIST) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for region in connection.execute(query).mappings():
            target = folder / f"{region['sha256'][:16]}-{region['id']}.png"
            if _write_crop(store, region, options.margin, target):
                writer.writerow(quote_row({"file": target.name, **region}))
                count += 1
            on_progress(1)
    return count


def _write_crop(store: PhotoStore, region: RowMapping, margin: float, target: Path) -> bool:
    """Write one region; return False if the photograph cannot be read."""
    box = Box(*(region[side] for side in Box._fields))
    try:
        with open_image(store.read(region["sha256"])) as image:
            pixels = crop(DecodedImage(image, region["orientation"]), box, margin)
    except (OSError, PhotographError):
        return False
    with atomic_path(target) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")
    return True
