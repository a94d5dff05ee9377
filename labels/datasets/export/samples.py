"""Samples of an export: images with their labels and metadata."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.harvest.licences import NO_KNOWN_RESTRICTIONS, PUBLIC_DOMAIN, UNITED_STATES_GOVERNMENT
from lightmeter.images.crops import crop_bytes
from lightmeter.images.formats import RAW_FORMAT, SUFFIXES, picture_bytes
from lightmeter.images.metadata import StrippedFile, strip_metadata
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import crop_of, label_column, stops_column

METADATA_COLUMNS = ("sha256", "group", "source", "owner", "licence", "make", "model")
"""Manifest columns of a sample's metadata."""

FILE_HASH = "file_sha256"
"""SHA-256 of the image file of a sample; ``sha256`` is that of the photograph in the catalogue."""

_FREE_LICENCES = frozenset({PUBLIC_DOMAIN, NO_KNOWN_RESTRICTIONS, UNITED_STATES_GOVERNMENT})


@dataclass(frozen=True)
class Sample:
    """One image of an export.

    Attributes:
        key: Unique name: the SHA-256 of the photograph, for crops followed by the number of the crop.
        file_name: Key with the suffix of the image format.
        data: The image file, or a crop as PNG.
        suffix: Suffix of the image format.
        converted: Format of the photograph if its pixels had to be stored in another one, otherwise empty.
        metadata: `METADATA_COLUMNS` of the manifest row, and `FILE_HASH`.
        labels: Class by target name, None if missing; a list of classes for multilabel targets.
        stops: Number by target name, None if missing; multilabel targets have none.
    """

    key: str
    file_name: str
    data: bytes
    suffix: str
    converted: str
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
    dataset: Dataset,
    rows: Iterable[Mapping[str, Any]],
    *,
    keep_metadata: bool = False,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Iterator[Sample]:
    """Yield the samples of manifest rows: photographs, the previews of RAW files, or crops as lossless PNG.

    Args:
        dataset: Data set of the rows.
        rows: Manifest rows.
        keep_metadata: Yield the original bytes of whole photographs instead of files without metadata.
        on_progress: Called with the number of samples finished since the last call.

    Raises:
        UsageError: A photograph is missing in the store, its bytes have changed, or it cannot be decoded.
    """
    targets, crops = dataset.spec.targets, Counter[str]()
    for row in rows:
        key, is_crop = row["sha256"], crop_of(row) is not None
        data, file_format = _image_file(dataset, row, keep_metadata=keep_metadata)
        suffix = SUFFIXES[file_format]
        if is_crop:
            number = crops[key]
            crops[key] += 1
            key = f"{key}-{number}"
        yield Sample(
            key,
            f"{key}.{suffix}",
            data,
            suffix,
            "" if is_crop or suffix == SUFFIXES[row["format"]] else row["format"],
            {name: row[name] for name in METADATA_COLUMNS} | {FILE_HASH: hashlib.sha256(data).hexdigest()},
            {target.name: row[label_column(target.name)] for target in targets},
            {target.name: row.get(stops_column(target.name)) for target in targets if not target.multilabel},
        )
        on_progress(1)


def _image_file(dataset: Dataset, row: Mapping[str, Any], *, keep_metadata: bool) -> StrippedFile:
    """Return the image file of a manifest row and its format."""
    data, box = dataset.read(row["sha256"]), crop_of(row)
    try:
        if box is not None:
            return StrippedFile(crop_bytes(data, box), "PNG")
        if not keep_metadata:
            return strip_metadata(data)
        return StrippedFile(picture_bytes(data) if row["format"] == RAW_FORMAT else data, row["format"])
    except (OSError, ValueError) as error:
        raise UsageError(f"The photograph {row['sha256']} cannot be decoded: {error}.") from error
