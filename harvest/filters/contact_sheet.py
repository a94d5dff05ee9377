"""A contact sheet: what a filter kept and what it dropped, side by side, with its measures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, ImageDraw, ImageFont, ImageOps
from PIL import Image as Images
from sqlalchemy import ColumnElement, Connection, Engine, func, select, true

from lightmeter.files import write_atomic
from lightmeter.harvest.catalogue.models import Image, Inspection, Region
from lightmeter.harvest.store import path_of

_THUMB, _GAP, _CAPTION_LINES, _LINE = 180, 10, 5, 13
_CELL = (_THUMB + _GAP, _THUMB + _CAPTION_LINES * _LINE + _GAP)
_COLUMNS = 5  # of each half
_LINE_LETTERS = 32
_INK, _PAPER = (30, 30, 30), (250, 250, 248)
_MISSING, _BOX = (200, 200, 200), (255, 200, 0)
_COLOURS = {"keep": (0, 130, 70), "drop": (190, 40, 30)}
_QUALITY = 88
_ORIENTATION = ExifTags.Base.Orientation

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in stored pixels."""


@dataclass(frozen=True)
class _Shown:
    """One photograph of the sheet."""

    sha256: str
    verdict: str
    reason: str | None
    measures: dict[str, Any]
    boxes: tuple[Box, ...]


def contact_sheet(
    engine: Engine,
    store: Path,
    target: Path,
    name: str,
    *,
    where: ColumnElement[bool] | None = None,
    each: int = 20,
) -> dict[str, int]:
    """Write a picture with photographs that a filter kept on the left, and dropped on the right.

    Those whose hash comes first are shown: a sample that is the same each time and has nothing to do with the order of
    discovery.

    Args:
        engine: of the catalogue.
        store: the photo store's folder.
        target: file to write, a JPEG.
        name: the filter's.
        where: which images; None for all.
        each: how many of either kind are shown at most.

    Returns:
        How many there are of either kind.
    """
    with engine.connect() as connection:
        chosen = (Inspection.filter == name, true() if where is None else where)
        counted = select(Inspection.verdict, func.count()).join(Image, Image.id == Inspection.image_id)
        rows = connection.execute(counted.where(*chosen).group_by(Inspection.verdict)).tuples().all()
        counts = dict.fromkeys(_COLOURS, 0) | dict(rows)
        halves = {verdict: _sample(connection, name, chosen, verdict, each) for verdict in _COLOURS}
    _write(target, store, name, halves, counts)
    return counts


def _sample(
    connection: Connection, name: str, chosen: Sequence[ColumnElement[bool]], verdict: str, each: int
) -> list[_Shown]:
    query = (
        select(Image.id, Image.sha256, Inspection.verdict, Inspection.reason, Inspection.measures)
        .join(Inspection, Inspection.image_id == Image.id)
        .where(*chosen, Inspection.verdict == verdict)
        .order_by(Image.sha256)
        .limit(each)
    )
    rows = connection.execute(query).all()
    of_these = Region.image_id.in_([row.id for row in rows]), Region.origin == name
    regions = connection.execute(select(Region.__table__).where(*of_these)).all()
    return [
        _Shown(
            row.sha256,
            row.verdict,
            row.reason,
            row.measures,
            tuple((r.x, r.y, r.x + r.width, r.y + r.height) for r in regions if r.image_id == row.id),
        )
        for row in rows
    ]


def _write(target: Path, store: Path, name: str, halves: dict[str, list[_Shown]], counts: dict[str, int]) -> None:
    rows = max(1, *(-(-len(half) // _COLUMNS) for half in halves.values()))
    half_width = _COLUMNS * _CELL[0] + _GAP
    sheet = Images.new("RGB", (2 * half_width + _GAP, rows * _CELL[1] + 3 * _GAP + _LINE), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (verdict, half) in enumerate(halves.items()):
        left = _GAP + number * (half_width + _GAP)
        title = f"{name}: {verdict} {counts[verdict]}"
        draw.text((left, _GAP), title, fill=_COLOURS[verdict], font=_font(_LINE + 2))
        for index, shown in enumerate(half):
            place = (left + index % _COLUMNS * _CELL[0], 3 * _GAP + index // _COLUMNS * _CELL[1])
            _draw(sheet, draw, store, shown, place)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=_QUALITY)
    write_atomic(target, file.getvalue())


def _draw(sheet: Images.Image, draw: ImageDraw.ImageDraw, store: Path, shown: _Shown, place: tuple[int, int]) -> None:
    thumb = _thumb(path_of(store, shown.sha256), shown.boxes)
    sheet.paste(thumb, (place[0] + (_THUMB - thumb.width) // 2, place[1] + (_THUMB - thumb.height) // 2))
    lines = [shown.reason or shown.verdict, *_told(shown.measures)][:_CAPTION_LINES]
    for number, line in enumerate(lines):
        colour = _COLOURS[shown.verdict] if number == 0 else _INK
        draw.text((place[0], place[1] + _THUMB + 2 + number * _LINE), line, fill=colour, font=_font(_LINE - 2))


def _thumb(path: Path, boxes: Sequence[Box]) -> Images.Image:
    """Return a small upright picture with its regions drawn; grey where the store has none."""
    try:
        with Images.open(path) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            full = image.size
            image.draft("RGB", (2 * _THUMB, 2 * _THUMB))
            small = image.convert("RGB")
            small.thumbnail((_THUMB, _THUMB))
    except OSError:
        return Images.new("RGB", (_THUMB, _THUMB), _MISSING)
    draw = ImageDraw.Draw(small)
    scale = small.width / full[0], small.height / full[1]
    for left, top, right, bottom in boxes:
        corners = (left * scale[0], top * scale[1], right * scale[0] - 1, bottom * scale[1] - 1)
        draw.rectangle(corners, outline=_BOX)
    small.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(small)


def _told(measures: dict[str, Any]) -> list[str]:
    """Return measures as lines, those that do not fit left out."""
    lines = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in measures.items()
    ]
    return [line for line in lines if len(line) <= _LINE_LETTERS]


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
