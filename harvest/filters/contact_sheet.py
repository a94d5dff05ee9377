"""Contact sheets: photographs that a filter kept and dropped, with file names, verdicts and measures."""

import io
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, func, select, true

from lightmeter.errors import LightmeterError
from lightmeter.files import format_of, write_output
from lightmeter.harvest.catalogue.models import Image as ImageRecord
from lightmeter.harvest.catalogue.models import Inspection, Region, SightingRecord
from lightmeter.images.geometry import Box, Size, to_display
from lightmeter.images.grid import PAPER, Colour, Tile, draw_grid, fit
from lightmeter.images.reader import display_image
from lightmeter.store.base import PhotographError, PhotoStore

_SIDE, _MIN_COLUMNS, _MAX_COLUMNS = 180, 2, 10
_MAX_CAPTION_LINES, _MAX_LINE_LENGTH = 5, 32
_MISSING, _BOX = (200, 200, 200), (255, 200, 0)
_VERDICT_COLOURS: dict[str, Colour] = {"keep": (0, 130, 70), "drop": (190, 40, 30), "failed": (110, 110, 110)}
_JPEG_QUALITY = 88


def write_contact_sheet(
    engine: Engine,
    store: PhotoStore,
    target: Path,
    name: str,
    *,
    where: ColumnElement[bool] | None = None,
    per_verdict: int = 20,
) -> dict[str, int]:
    """Write an image of photographs that a filter kept, and below them those that it dropped.

    The photographs with the lowest SHA-256 are shown: a reproducible sample that is independent of the order of
    discovery.

    Args:
        engine: Engine of the catalogue.
        store: The photo store.
        target: File to write: .jpg, .jpeg or .png.
        name: Name of the filter.
        where: Condition on images.
        per_verdict: Maximum number of photographs per verdict.

    Returns:
        Number of photographs in the catalogue by verdict.

    Raises:
        UsageError: The suffix of the file is none of these.
        LightmeterError: The filter has inspected no such photograph.
    """
    image_format = format_of(target, {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}, default="JPEG")
    condition = (Inspection.filter == name) & (true() if where is None else where)
    join = select(Inspection.verdict, func.count()).join(ImageRecord, ImageRecord.id == Inspection.image_id)
    parts: list[tuple[list[Tile], str, Colour]] = []
    with engine.connect() as connection:
        rows = connection.execute(join.where(condition).group_by(Inspection.verdict)).all()
        counts = dict.fromkeys(_VERDICT_COLOURS, 0) | dict(rows)
        for verdict, colour in _VERDICT_COLOURS.items():
            if not counts[verdict]:
                continue
            sample = _sample(connection, condition & (Inspection.verdict == verdict), per_verdict)
            tiles = [_tile(row, _boxes(connection, row, name), store) for row in sample]
            shown = f", {len(tiles)} of them shown" if len(tiles) < counts[verdict] else ""
            parts.append((tiles, f"{name}: {verdict} {counts[verdict]}{shown}", colour))
    if not parts:
        raise LightmeterError(
            f"The filter '{name}' has inspected no photograph; run 'lightmeter harvest inspect --filter {name}'."
        )
    columns = min(_MAX_COLUMNS, max(_MIN_COLUMNS, *(len(tiles) for tiles, _, _ in parts)))
    images = [
        draw_grid(tiles, title, side=_SIDE, columns=columns, title_colour=colour) for tiles, title, colour in parts
    ]
    sheet = Image.new("RGB", (images[0].width, sum(image.height for image in images)), PAPER)
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
    file = io.BytesIO()
    sheet.save(file, image_format, quality=_JPEG_QUALITY)
    write_output(target, file.getvalue())
    return counts


def _sample(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[RowMapping]:
    names = [
        select(column)
        .where(SightingRecord.image_id == ImageRecord.id)
        .order_by(SightingRecord.id)
        .limit(1)
        .scalar_subquery()
        .label(column.key)
        for column in (SightingRecord.file, SightingRecord.source_id)
    ]
    images = (ImageRecord.id, ImageRecord.sha256, ImageRecord.width, ImageRecord.height, *names)
    query = (
        select(*images, Inspection.verdict, Inspection.reason, Inspection.measures)
        .join(Inspection, Inspection.image_id == ImageRecord.id)
        .where(condition)
        .order_by(ImageRecord.sha256)
        .limit(limit)
    )
    return list(connection.execute(query).mappings())


def _boxes(connection: Connection, image: RowMapping, name: str) -> list[Box]:
    """Return the regions that a filter detected in an image, in display coordinates."""
    query = select(Region.__table__).where(Region.image_id == image["id"], Region.origin == name)
    size = Size(image["width"], image["height"])
    return [
        to_display(Box(region.x, region.y, region.width, region.height), size, region.orientation)
        for region in connection.execute(query)
    ]


def _tile(image: RowMapping, boxes: list[Box], store: PhotoStore) -> Tile:
    """Return a thumbnail with its regions, and verdict and measures as its caption; grey if the file is missing."""
    try:
        small = display_image(store.read(image["sha256"]), _SIDE)
    except (OSError, PhotographError):
        small = Image.new("RGB", (_SIDE, _SIDE), _MISSING)
    draw = ImageDraw.Draw(small)
    scale = max(small.size) / max(image["width"], image["height"])
    for box in boxes:
        corners = (box.x, box.y, box.x + box.width, box.y + box.height)
        left, top, right, bottom = (scale * corner for corner in corners)
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=_BOX)
    verdict = ": ".join(filter(None, (image["verdict"], image["reason"])))
    lines = [image["file"] or image["source_id"] or image["sha256"][:12], verdict, *_measure_lines(image["measures"])]
    caption = [fit(line, _MAX_LINE_LENGTH) for line in lines]
    return Tile(small, caption[:_MAX_CAPTION_LINES])


def _measure_lines(measures: dict[str, Any]) -> list[str]:
    """Return one line per measure that has a value."""
    return [f"{name.replace('_', ' ')} {_text(value)}" for name, value in measures.items() if value not in ([], None)]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
