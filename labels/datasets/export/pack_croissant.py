"""Describe a pack for other programs: its files and what a loader reads from them, in ``croissant.json``."""

from collections.abc import Iterator
from typing import Any

from lightmeter.labels.datasets.card.croissant import (
    PARQUET,
    class_record_set,
    croissant_document,
    field,
    file_object,
    write_document,
)
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.export.samples import FILE_HASH, METADATA_COLUMNS
from lightmeter.labels.datasets.manifest import SPLITS, label_column, stops_column
from lightmeter.labels.datasets.spec import DatasetSpec

_FILES = "files"
_MEDIA_TYPES = {"jpg": "jpeg", "tif": "tiff", "ppm": "x-portable-pixmap"}
_SPLIT = "|".join(SPLITS)


def write_pack_croissant(pack: Dataset, format_name: str) -> None:
    """Write ``croissant.json`` into the folder of a pack.

    Args:
        pack: The pack as a data set: its folder, its counts and the manifest rows that are packed.
        format_name: ``webdataset``, ``imagefolder`` or ``parquet``.
    """
    distribution, fields = _FORMATS[format_name](pack)
    images = {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "description": "The images with split and labels; labels that are numbers index the classes.",
        "field": fields,
    }
    attribution = file_object(pack.folder, "ATTRIBUTION.csv", "text/csv", "Every sighting of every photograph.")
    record_sets = [*([images] if fields else []), *map(class_record_set, pack.spec.targets)]
    document = croissant_document(pack, ["See the advisories in README.md."])
    write_document(pack.folder, {**document, "distribution": [*distribution, attribution], "recordSet": record_sets})


def _parquet(pack: Dataset) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    fields = [
        _split(rf"data/({_SPLIT})\.parquet"),
        _field("image", "sc:ImageObject", {"extract": {"column": "image"}, "transform": {"jsonPath": "bytes"}}),
        *(_field(name, "sc:Text", _column(name)) for name in (*METADATA_COLUMNS, FILE_HASH)),
        *_label_fields(pack.spec),
    ]
    return [_file_set(["data/*.parquet"], [PARQUET])], fields


def _label_fields(spec: DatasetSpec) -> Iterator[dict[str, Any]]:
    for target in spec.targets:
        label, stops = label_column(target.name), stops_column(target.name)
        array = {"isArray": True, "arrayShape": "-1"} if target.multilabel else {}
        yield {**_field(label, "sc:Integer", _column(label)), **array}
        if not target.multilabel:
            yield _field(stops, "sc:Float", _column(stops))


def _imagefolder(pack: Dataset) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    (target,) = pack.spec.targets
    path = {"extract": {"fileProperty": "fullpath"}}
    fields = [
        _split(rf"({_SPLIT})/.*"),
        _field("image", "sc:ImageObject", {"extract": {"fileProperty": "content"}}),
        _field("sha256", "sc:Text", {**path, "transform": {"regex": r".*/([0-9a-f]{64})[^/]*"}}),
        _field(label_column(target.name), "sc:Text", {**path, "transform": {"regex": r"[^/]+/([^/]+)/[^/]+"}}),
    ]
    suffixes = {file.suffix[1:] for split in SPLITS for file in pack.folder.glob(f"{split}/*/*")}
    types = [f"image/{_MEDIA_TYPES.get(suffix, suffix)}" for suffix in sorted(suffixes)]
    return [_file_set([f"{split}/*/*" for split in SPLITS], types)], fields


def _webdataset(pack: Dataset) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the shards; no record set can join an image and its labels, which are members of one shard."""
    shards = sorted(file.name for file in pack.folder.glob("*.tar"))
    return [file_object(pack.folder, name, "application/x-tar", "WebDataset shard.") for name in shards], []


def _file_set(includes: list[str], encoding: list[str]) -> dict[str, Any]:
    return {"@type": "cr:FileSet", "@id": _FILES, "name": _FILES, "includes": includes, "encodingFormat": encoding}


def _split(regex: str) -> dict[str, Any]:
    return _field("split", "sc:Text", {"extract": {"fileProperty": "fullpath"}, "transform": {"regex": regex}})


def _column(name: str) -> dict[str, Any]:
    return {"extract": {"column": name}}


def _field(name: str, data_type: str, source: dict[str, Any]) -> dict[str, Any]:
    return {**field(f"images/{name}", data_type), "source": {"fileSet": {"@id": _FILES}, **source}}


_FORMATS = {"webdataset": _webdataset, "imagefolder": _imagefolder, "parquet": _parquet}
