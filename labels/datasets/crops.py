"""Parts of photographs that a data set can consist of: faces, and what a frame leaves."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Connection, select

from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.models import Region
from lightmeter.harvest.catalogue.regions import effective_regions
from lightmeter.labels.annotations.photo_facts import IdRange
from lightmeter.labels.datasets.dataset import CROP_COLUMNS, MANIFEST_COLUMNS
from lightmeter.labels.datasets.photographs import beside
from lightmeter.settings import Settings

CropKind = Literal["face", "border-free"]
CROP_KINDS: tuple[CropKind, ...] = get_args(CropKind)

_REGIONS: dict[CropKind, str] = {"face": "face", "border-free": "inside"}


@dataclass(frozen=True)
class Crop:
    """Which parts of photographs are meant.

    Attributes:
        kind: of part.
        least_score: from which a face that was found counts, 0 to 1; one without a score always does.
        least_size: longer side from which one counts, in pixels.
    """

    kind: CropKind
    least_score: float = 0.0
    least_size: int = 0

    @property
    def region(self) -> str:
        """The kind of region in the catalogue."""
        return _REGIONS[self.kind]

    @property
    def counts(self) -> ColumnElement[bool]:
        """The condition that a region is one that is meant."""
        return effective_regions(self.region, self.least_score, self.least_size)


def crop_for(kind: CropKind, settings: Settings) -> Crop:
    """Return a crop with the thresholds that a project sets for the filter that finds faces."""
    if kind != "face":
        return Crop(kind)
    from lightmeter.harvest.filters import load_filters

    (faces,) = load_filters(settings.filters, ["faces"])
    return Crop(kind, faces.settings.min_score, faces.settings.min_size)


_BOXES = pa.schema([("image_id", pa.int64()), *map(MANIFEST_COLUMNS.field, CROP_COLUMNS)])


def cropped(connection: Connection, span: IdRange, photographs: pa.Table, crop: Crop) -> tuple[pa.Table, int]:
    """Return a row for each crop, with its box; and how many photographs have none and are left out.

    Of faces there are as many as were found, or as a person says. Without its border every photograph is one row: the
    newest box by hand or that of the filter, or all of it where there is no border.

    Args:
        connection: to the catalogue.
        span: that the photographs are from.
        photographs: a row each, in the order of ``image_id``.
        crop: which parts are meant.
    """
    ids = photographs["image_id"].to_numpy()
    boxes = _inside(_boxes(connection, span, crop), photographs)
    box_ids = boxes["image_id"].to_numpy()
    first, behind = np.searchsorted(box_ids, ids), np.searchsorted(box_ids, ids, side="right")
    found = behind - first
    wanted = found if crop.kind == "face" else np.ones_like(found)
    rows = np.repeat(np.arange(len(ids)), wanted)
    numbers = first[rows] + np.arange(len(rows)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    places = boxes.select(CROP_COLUMNS).take(pa.array(numbers, mask=found[rows] == 0))
    return beside(photographs.take(pa.array(rows)), places), int((wanted == 0).sum())


def _boxes(connection: Connection, span: IdRange, crop: Crop) -> pa.Table:
    """Return the boxes that count, in the order of their images."""
    query = select(Region.image_id, Region.x, Region.y, Region.width, Region.height)
    query = query.where(span.covers(Region.image_id), crop.counts)
    if crop.kind == "face":
        order = query.order_by(Region.image_id, Region.x, Region.y, Region.width, Region.height)
        return read_table(connection, order, _BOXES)
    boxes = read_table(connection, query.order_by(Region.image_id, Region.id.desc()), _BOXES)
    return boxes.take(pa.array(np.unique(boxes["image_id"].to_numpy(), return_index=True)[1]))


def _inside(boxes: pa.Table, photographs: pa.Table) -> pa.Table:
    """Return the boxes of some photographs, cut where the picture ends; those outside it are left out."""
    boxes = boxes.filter(pc.is_in(boxes["image_id"], photographs["image_id"].combine_chunks()))
    place = pa.array(np.searchsorted(photographs["image_id"].to_numpy(), boxes["image_id"].to_numpy()))
    size = photographs.select(["width", "height"]).take(place)
    columns = [boxes["image_id"]]
    left, top, width, height = (boxes[name].to_numpy() for name in CROP_COLUMNS)
    right, bottom = (
        np.minimum(left + width, size["width"].to_numpy()),
        np.minimum(top + height, size["height"].to_numpy()),
    )
    left, top = np.maximum(left, 0), np.maximum(top, 0)
    columns += [pa.array(values, pa.int32()) for values in (left, top, right - left, bottom - top)]
    return pa.table(columns, names=["image_id", *CROP_COLUMNS]).filter(pa.array((right > left) & (bottom > top)))
