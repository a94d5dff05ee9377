"""Crops that a data set can consist of: faces, or photographs without their borders."""

from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Connection, func, select

from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.models import Region
from lightmeter.harvest.catalogue.regions import effective_regions
from lightmeter.labels.annotations.photo_facts import IdRange
from lightmeter.labels.datasets.manifest import CROP_COLUMNS
from lightmeter.settings import Settings

CropKind = Literal["face", "border-free"]
CROP_KINDS: tuple[CropKind, ...] = get_args(CropKind)

_REGIONS: dict[CropKind, str] = {"face": "face", "border-free": "inside"}
_BOXES = pa.schema([("image_id", pa.int64()), *((name, pa.int32()) for name in CROP_COLUMNS)])


@dataclass(frozen=True)
class Crop:
    """A kind of crop and its thresholds.

    Attributes:
        kind: ``face`` or ``border-free``.
        min_score: Minimum score of a detected face, 0 to 1. Regions without a score always count.
        min_size: Minimum longer side of a detected face in pixels.
    """

    kind: CropKind
    min_score: float = 0.0
    min_size: int = 0

    @property
    def region(self) -> str:
        """Kind of region in the catalogue."""
        return _REGIONS[self.kind]

    @property
    def condition(self) -> ColumnElement[bool]:
        """SQL condition on the table ``regions`` for the effective regions."""
        return effective_regions(self.region, self.min_score, self.min_size)


def crop_for(kind: CropKind, settings: Settings) -> Crop:
    """Return a crop with the thresholds of the project's face filter."""
    if kind != "face":
        return Crop(kind)
    from lightmeter.harvest.filters.pipeline import load_filters

    (faces,) = load_filters(settings.filters, ["faces"])
    return Crop(kind, faces.settings.min_score, faces.settings.min_size)


def join_crops(connection: Connection, id_range: IdRange, photographs: pa.Table, crop: Crop) -> pa.Table:
    """Join photographs with their crops.

    Args:
        connection: Catalogue connection.
        id_range: Image ids of the photographs.
        photographs: One row per photograph, in the order of ``image_id``.
        crop: Kind of crop.

    Returns:
        The photographs with `CROP_COLUMNS`. For faces: one row per face, none for a photograph without. Border-free:
        one row per photograph, with null columns where it has no border.
    """
    boxes = _clip(_boxes(connection, id_range, crop), photographs)
    rows = photographs.select(["image_id"]).append_column("row", pa.array(range(photographs.num_rows), pa.int64()))
    joined = rows.join(boxes, "image_id", join_type="inner" if crop.kind == "face" else "left outer")
    joined = joined.sort_by([(name, "ascending") for name in ("row", *CROP_COLUMNS)])
    table = photographs.take(joined["row"])
    for name in CROP_COLUMNS:
        table = table.append_column(name, joined[name])
    return table


def _boxes(connection: Connection, id_range: IdRange, crop: Crop) -> pa.Table:
    """Return the effective boxes; border-free photographs have one, the latest."""
    condition: ColumnElement[bool] = id_range.covers(Region.image_id) & crop.condition
    if crop.kind == "border-free":
        condition = Region.id.in_(select(func.max(Region.id)).where(condition).group_by(Region.image_id))
    query = select(Region.image_id, Region.x, Region.y, Region.width, Region.height).where(condition)
    return read_table(connection, query, _BOXES)


def _clip(boxes: pa.Table, photographs: pa.Table) -> pa.Table:
    """Return the boxes of photographs clipped to the image; boxes outside it are dropped."""
    boxes = boxes.join(photographs.select(["image_id", "width", "height"]), "image_id", join_type="inner")
    x, y, width, height = (boxes[name] for name in CROP_COLUMNS)
    left, top = pc.max_element_wise(x, 0), pc.max_element_wise(y, 0)
    width = pc.subtract(pc.min_element_wise(pc.add(x, width), boxes["width"]), left)
    height = pc.subtract(pc.min_element_wise(pc.add(y, height), boxes["height"]), top)
    clipped = pa.table([boxes["image_id"], left, top, width, height], names=_BOXES.names).cast(_BOXES)
    return clipped.filter(pc.and_(pc.greater(width, 0), pc.greater(height, 0)))
