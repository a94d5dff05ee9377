"""What goes into a pack: pictures whose licence allows it, whole or cropped."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image as Pictures
from sqlalchemy import Connection, select

from harvest.catalogue.tables import Image, Region
from harvest.licences import NO_KNOWN_RESTRICTIONS, PUBLIC_DOMAIN, UNITED_STATES_GOVERNMENT, normalise
from labels.dataset import DataSet, Split, label_column, stops_column
from lightmeter.errors import LightmeterError

CROPS = ("inside", "face")
"""Regions that a picture can be cropped to."""

_FREE = frozenset({PUBLIC_DOMAIN, NO_KNOWN_RESTRICTIONS, UNITED_STATES_GOVERNMENT})
_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}
_BATCH = 500

Box = tuple[int, int, int, int]
Boxes = Mapping[str, Sequence[Box]]


@dataclass(frozen=True)
class Item:
    """One picture of a pack.

    Attributes:
        key: unique; the photograph's SHA-256, behind it the number of the crop.
        suffix: of a file with its format.
        data: original bytes, or a crop as PNG.
        facts: what is known of it: hash, source, owner, licence, camera.
        labels: by target, the class or None.
        stops: by target, the number or None.
    """

    key: str
    suffix: str
    data: bytes
    facts: dict[str, Any]
    labels: dict[str, str | None]
    stops: dict[str, float | None]


def may_be_shared(licence: str | None, *, cropped: bool) -> bool:
    """Return whether a licence lets anyone pass a photograph on; a crop is an adaptation, which ND forbids.

    Args:
        licence: as the catalogue has it; without one, nobody but the author may.
        cropped: whether a part is passed on instead of the whole.
    """
    name = normalise(licence) or ""
    if re.match(r"CC-BY[A-Z-]*-ND\b", name):
        return not cropped
    return name.startswith(("CC0", "CC-BY")) or name in _FREE


def items(dataset: DataSet, rows: Sequence[Mapping[str, Any]], boxes: Boxes | None) -> Iterator[Item]:
    """Yield the pictures of some rows.

    Args:
        dataset: whose rows they are.
        rows: of the manifest.
        boxes: crops by SHA-256; None for whole photographs.

    Raises:
        LightmeterError: if a photograph is not in the store.
    """
    for row in rows:
        file = dataset.store / row["path"]
        if not file.is_file():
            raise LightmeterError(f"The photograph {row['sha256']} is not in the store {dataset.store}.")
        data = file.read_bytes()
        if boxes is None:
            yield _item(dataset, row, row["sha256"], _SUFFIXES.get(row["format"], row["format"].lower()), data)
            continue
        for number, box in enumerate(boxes.get(row["sha256"], ())):
            yield _item(dataset, row, f"{row['sha256']}-{number}", "png", _cropped(data, box))


def boxes_of(connection: Connection, hashes: Sequence[str], kind: str) -> dict[str, list[Box]]:
    """Return the regions of a kind by SHA-256; where a person drew some, only those.

    Args:
        connection: to the catalogue.
        hashes: of the photographs.
        kind: ``inside`` or ``face``.
    """
    found: dict[str, list[tuple[bool, Box]]] = {}
    for start in range(0, len(hashes), _BATCH):
        query = (
            select(Image.sha256, Region.origin, Region.x, Region.y, Region.width, Region.height)
            .join(Region, Region.image_id == Image.id)
            .where(Image.sha256.in_(hashes[start : start + _BATCH]), Region.kind == kind)
            .order_by(Region.id)
        )
        for sha256, origin, *box in connection.execute(query):
            found.setdefault(sha256, []).append((origin == "hand", (box[0], box[1], box[2], box[3])))
    return {
        sha256: [box for by_hand, box in regions if by_hand or not any(hand for hand, _ in regions)]
        for sha256, regions in found.items()
    }


def split_rows(dataset: DataSet, side: Split, keep: set[str]) -> list[dict[str, Any]]:
    """Return the rows of one side whose photographs are kept."""
    return [row for row in dataset.rows(side) if row["sha256"] in keep]


def _cropped(data: bytes, box: Box) -> bytes:
    """Return a part of the stored pixels as lossless PNG."""
    x, y, width, height = box
    out = io.BytesIO()
    with Pictures.open(io.BytesIO(data)) as picture:
        part = picture.crop((x, y, x + width, y + height))
        (part if part.mode in ("L", "RGB", "RGBA") else part.convert("RGB")).save(out, "PNG")
    return out.getvalue()


def _item(dataset: DataSet, row: Mapping[str, Any], key: str, suffix: str, data: bytes) -> Item:
    names = [target.name for target in dataset.spec.targets]
    facts = {name: row[name] for name in ("sha256", "group", "source", "owner", "licence", "make", "model")}
    return Item(
        key,
        suffix,
        data,
        facts,
        {name: row[label_column(name)] for name in names},
        {name: row[stops_column(name)] for name in names},
    )
