"""Samples of an export: images with their labels and metadata."""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from lightmeter.harvest.licences import NO_KNOWN_RESTRICTIONS, PUBLIC_DOMAIN, UNITED_STATES_GOVERNMENT
from lightmeter.images.formats import RAW_FORMAT, picture_bytes
from lightmeter.images.geometry import ORIENTATION_TAG, Box
from lightmeter.images.reader import open_image, pixel_orientation, to_eight_bit
from lightmeter.labels.datasets.dataset import Dataset, crop_of, label_column, stops_column
from lightmeter.labels.datasets.photo_files import SUFFIXES

METADATA_COLUMNS = ("sha256", "group", "source", "owner", "licence", "make", "model")
"""Manifest columns of a sample's metadata."""

_FREE_LICENCES = frozenset({PUBLIC_DOMAIN, NO_KNOWN_RESTRICTIONS, UNITED_STATES_GOVERNMENT})
_PNG_MODES = ("1", "L", "LA", "I;16", "I;16B", "P", "RGB", "RGBA")


@dataclass(frozen=True)
class Sample:
    """One image of an export.

    Attributes:
        key: Unique name: the SHA-256 of the photograph, for crops followed by the number of the crop.
        file_name: Key with the suffix of the image format.
        data: Original bytes, or a crop as PNG.
        suffix: Suffix of the image format.
        metadata: `METADATA_COLUMNS` of the manifest row.
        labels: Class by target name, None if missing; a list of classes for multilabel targets.
        stops: Number by target name, None if missing; multilabel targets have none.
    """

    key: str
    file_name: str
    data: bytes
    suffix: str
    metadata: dict[str, Any]
    labels: dict[str, str | list[str] | None]
    stops: dict[str, float | None]


def permits_redistribution(licence: str | None, *, cropped: bool) -> bool:
    """Return whether a licence permits redistribution. A crop is an adaptation, which ND licences forbid.

    Args:
        licence: SPDX identifier or ``LicenseRef``; None permits nothing.
        cropped: Whether a crop is redistributed instead of the whole photograph.
    """
    licence = licence or ""
    if re.match(r"CC-BY[A-Z-]*-ND\b", licence):
        return not cropped
    return licence.startswith(("CC0", "CC-BY")) or licence in _FREE_LICENCES


def is_redistributable(row: Mapping[str, Any]) -> bool:
    """Return whether the photograph or crop of a manifest row may be redistributed."""
    return permits_redistribution(row["licence"], cropped=crop_of(row) is not None)


def samples(
    dataset: Dataset, rows: Iterable[Mapping[str, Any]], on_progress: Callable[[int], object] = lambda _: None
) -> Iterator[Sample]:
    """Yield the samples of manifest rows: original bytes, the preview of a RAW file, or crops as lossless PNG.

    Args:
        dataset: Data set of the rows.
        rows: Manifest rows.
        on_progress: Called with the number of samples finished since the last call.

    Raises:
        UsageError: A photograph is missing in the store, or its bytes have changed.
    """
    targets, crops = dataset.spec.targets, Counter[str]()
    for row in rows:
        key, box = row["sha256"], crop_of(row)
        data, suffix = dataset.read(key), SUFFIXES[row["format"]]
        if row["format"] == RAW_FORMAT:
            data = picture_bytes(data)
        if box is not None:
            data, suffix, number = crop_bytes(data, box), "png", crops[key]
            crops[key] += 1
            key = f"{key}-{number}"
        yield Sample(
            key,
            f"{key}.{suffix}",
            data,
            suffix,
            {name: row[name] for name in METADATA_COLUMNS},
            {target.name: row[label_column(target.name)] for target in targets},
            {target.name: row.get(stops_column(target.name)) for target in targets if not target.multilabel},
        )
        on_progress(1)


def crop_bytes(data: bytes, box: Box) -> bytes:
    """Return a crop as lossless PNG with the EXIF orientation and the colour profile of the photograph.

    Args:
        data: Bytes of an image file.
        box: Crop in file pixels.
    """
    output, exif = io.BytesIO(), Image.Exif()
    with open_image(data) as image:
        image.load()
        exif[ORIENTATION_TAG] = pixel_orientation(image)
        keeps_mode = image.mode in _PNG_MODES
        pixels = image if keeps_mode else to_eight_bit(image)
        profile = image.info.get("icc_profile") if keeps_mode else None
        crop = pixels.crop((box.x, box.y, box.x + box.width, box.y + box.height))
        crop.save(output, "PNG", exif=exif, icc_profile=profile)
    return output.getvalue()


def png_bytes(data: bytes) -> bytes:
    """Return an image as lossless PNG, as `crop_bytes` does."""
    with open_image(data) as image:
        return crop_bytes(data, Box(0, 0, image.width, image.height))
