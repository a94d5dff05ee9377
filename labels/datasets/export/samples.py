"""What goes into a pack: pictures whose licence allows it, whole or cropped."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image as Pictures

from lightmeter.errors import LightmeterError
from lightmeter.harvest.licences import (
    NO_KNOWN_RESTRICTIONS,
    PUBLIC_DOMAIN,
    UNITED_STATES_GOVERNMENT,
    normalise_licence,
)
from lightmeter.labels.datasets.dataset import Dataset, crop_of, label_column, stops_column

_FREE = frozenset({PUBLIC_DOMAIN, NO_KNOWN_RESTRICTIONS, UNITED_STATES_GOVERNMENT})
_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}
_MODES_OF_PNG = ("1", "L", "LA", "I;16", "I;16B", "P", "RGB", "RGBA")
_ORIENTATION = 0x0112

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Sample:
    """One picture of a pack.

    Attributes:
        key: unique; the photograph's SHA-256, behind it the number of the crop.
        suffix: of a file with its format.
        data: original bytes, or a crop as PNG.
        facts: what is known of it: hash, source, owner, licence, camera.
        labels: by target, the class or None; of a target with several a photograph, the list of them.
        stops: by target, the number or None; targets with several classes a photograph have none.
    """

    key: str
    suffix: str
    data: bytes
    facts: dict[str, Any]
    labels: dict[str, str | list[str] | None]
    stops: dict[str, float | None]


def may_be_shared(licence: str | None, *, cropped: bool) -> bool:
    """Return whether a licence lets anyone pass a photograph on; a crop is an adaptation, which ND forbids.

    Args:
        licence: as the catalogue has it; without one, nobody but the author may.
        cropped: whether a part is passed on instead of the whole.
    """
    name = normalise_licence(licence) or ""
    if re.match(r"CC-BY[A-Z-]*-ND\b", name):
        return not cropped
    return name.startswith(("CC0", "CC-BY")) or name in _FREE


def is_free(row: Mapping[str, Any]) -> bool:
    """Return whether the licence of a manifest's row lets anyone pass it on as it is, whole or cropped."""
    return may_be_shared(row["licence"], cropped=crop_of(row) is not None)


def samples(dataset: Dataset, rows: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """Yield the pictures of some rows: original bytes, or crops as lossless PNG.

    Args:
        dataset: whose rows they are.
        rows: of the manifest.

    Raises:
        LightmeterError: if a photograph is not in the store.
    """
    crops: Counter[str] = Counter()
    for row in rows:
        file, sha256, box = dataset.store / row["path"], row["sha256"], crop_of(row)
        if not file.is_file():
            raise LightmeterError(f"The photograph {sha256} is not in the store {dataset.store}.")
        data = file.read_bytes()
        if box is None:
            yield _item(dataset, row, sha256, _SUFFIXES.get(row["format"], row["format"].lower()), data)
        else:
            yield _item(dataset, row, f"{sha256}-{crops[sha256]}", "png", crop_bytes(data, box))
            crops[sha256] += 1


def crop_bytes(data: bytes, box: Box) -> bytes:
    """Return a part of a photograph's stored pixels as lossless PNG, with the tag that says how it is turned."""
    x, y, width, height = box
    out = io.BytesIO()
    exif = Pictures.Exif()
    with Pictures.open(io.BytesIO(data)) as picture:
        exif[_ORIENTATION] = picture.getexif().get(_ORIENTATION, 1)
        part = picture.crop((x, y, x + width, y + height))
        (part if part.mode in _MODES_OF_PNG else part.convert("RGB")).save(out, "PNG", exif=exif)
    return out.getvalue()


def _item(dataset: Dataset, row: Mapping[str, Any], key: str, suffix: str, data: bytes) -> Sample:
    targets = dataset.spec.targets
    facts = {name: row[name] for name in ("sha256", "group", "source", "owner", "licence", "make", "model")}
    return Sample(
        key,
        suffix,
        data,
        facts,
        {target.name: row[label_column(target.name)] for target in targets},
        {target.name: row[stops_column(target.name)] for target in targets if not target.multilabel},
    )
