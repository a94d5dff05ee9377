"""FlickrExif (R. Ramos et al., ICCV 2025): ids and labels of the authors, photographs and EXIF from Flickr."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from lightmeter.errors import UsageError
from lightmeter.harvest.sources.base import (
    Argument,
    Cursor,
    InputFile,
    InputFolder,
    Item,
    Medium,
    Option,
    Sighting,
    Source,
    SourceQuery,
)
from lightmeter.harvest.sources.flickr.client import KEYS, Client, connect
from lightmeter.harvest.sources.flickr.photos import item_by_id
from lightmeter.harvest.sources.flickr_exif.splits import Assignment, check_attributes, read_splits
from lightmeter.harvest.sources.photo_metadata import items_with_checkpoints
from lightmeter.harvest.sources.rate_limit import FLICKR, RateLimit

_EXIF_TAGS = {
    "aperture": "FNumber",
    "exposure": "ExposureTime",
    "focal-length": "FocalLength",
    "iso-speed": "ISO",
    "make": "Make",
    "model": "Model",
}
"""EXIF tags of the labels, which count where Flickr shows no EXIF."""

_ID_COLUMNS, _OWNER_COLUMNS = ("flickrid", "photoid", "id"), ("owner", "ownernsid", "ownerid", "userid", "nsid")

Record = tuple[str, list[Assignment]]


class FlickrExif(Source):
    """Lists the photographs of the authors' split files in a random order that is always the same."""

    name = "flickr-exif"
    summary = "photographs of FlickrExif (Ramos et al., ICCV 2025) with its labels, from Flickr"
    keys: ClassVar[tuple[str, ...]] = KEYS
    rate_limit: ClassVar[RateLimit | None] = FLICKR

    class Query(SourceQuery):
        """Harvest the photographs of FlickrExif."""

        splits: InputFolder = Argument("Folder data/splits/FlickrExif of the authors' repository.")
        attributes: str = Option("", "Only photographs with a label of these attributes, comma-separated.")
        parquet: InputFile | None = Option(
            None, "The data set's Parquet file: owners of photographs that Flickr no longer shows."
        )
        medium: Medium | None = Option(None, "Medium of all photographs.")

        @field_validator("attributes")
        @classmethod
        def _existing_attributes(cls, text: str) -> str:
            try:
                check_attributes(_names(text))
            except UsageError as error:
                raise ValueError(str(error).rstrip(".")) from error
            return text

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield the photographs with a checkpoint after every 100."""
        client = connect(self)
        assignments = read_splits(query.splits, _names(query.attributes))
        owners = read_owners(query.parquet) if query.parquet else {}
        records = sorted(assignments.items(), key=lambda record: hashlib.sha256(record[0].encode()).digest())
        convert = partial(_item, client=client, owners=owners, medium=query.medium)
        return items_with_checkpoints(records, convert, cursor, location=str(query.splits))


def read_owners(file: Path) -> dict[str, str]:
    """Return the owners of a Parquet file by Flickr id.

    Raises:
        UsageError: The file cannot be read, or has no columns of ids and owners.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file)
        names = {name.lower().replace(" ", "").replace("_", ""): name for name in parquet.schema_arrow.names}
        ids, owners = (
            next((names[option] for option in options if option in names), None)
            for options in (_ID_COLUMNS, _OWNER_COLUMNS)
        )
        if ids is None or owners is None:
            raise UsageError(
                f"{file} needs the columns 'Flickr ID' and 'owner'; it has {', '.join(parquet.schema_arrow.names)}."
            )
        table = parquet.read(columns=[ids, owners])
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{file} cannot be read as Parquet: {error}.") from error
    pairs = zip(table[ids].to_pylist(), table[owners].to_pylist(), strict=True)
    return {str(photo_id): str(owner) for photo_id, owner in pairs if photo_id is not None and owner}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _item(record: Record, client: Client, owners: dict[str, str], medium: Medium | None) -> Sighting:
    photo_id, assignments = record
    item = item_by_id(client, photo_id, medium)
    labels = {_EXIF_TAGS[value.attribute]: value.label for value in assignments if value.attribute in _EXIF_TAGS}
    return replace(
        item,
        owner=item.owner or owners.get(photo_id),
        exif=item.exif or labels or None,
        metadata=item.metadata | {"flickr_exif": [asdict(assignment) for assignment in assignments]},
    )
