"""Formats of packs. Writers take one sample at a time, so that memory stays bounded."""

import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter.errors import UsageError
from lightmeter.images.crops import png_bytes
from lightmeter.labels.datasets.export.samples import FILE_HASH, METADATA_COLUMNS, Sample
from lightmeter.labels.datasets.manifest import label_column, stops_column
from lightmeter.labels.datasets.names import IMAGE_METADATA
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.text.names import folder_name

Writer = Callable[[Path, DatasetSpec, str, Iterable[Sample]], int]
"""Writes the samples of a split: output folder, spec, split, samples. Returns the number of samples."""

MAX_SHARD_BYTES = 256 * 2**20
ROW_GROUP_BYTES = 64 * 2**20
"""Images of a row group; readers load one at a time, and none of them more than 2 GB."""

_STRING = {"dtype": "string", "_type": "Value"}
_TORCHVISION_SUFFIXES = frozenset({"jpg", "png", "ppm", "bmp", "tif", "webp"})


def write_webdataset(
    folder: Path, spec: DatasetSpec, split: str, samples: Iterable[Sample], shard_bytes: int | None = None
) -> int:
    """Write tar shards ``SPLIT-000000.tar``: each image file with a ``.json`` of labels and metadata.

    If the data set has one target with one class per photograph, a ``.cls`` holds the index of the class.
    """
    count, iterator = 0, iter(samples)
    sample = next(iterator, None)
    for n_shards in itertools.count():
        if sample is None:
            break
        with tarfile.open(folder / f"{split}-{n_shards:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as shard:
            while sample is not None and shard.offset <= (shard_bytes or MAX_SHARD_BYTES):
                for name, data in _members(spec, sample).items():
                    _add(shard, name, data)
                count, sample = count + 1, next(iterator, None)
    return count


def _members(spec: DatasetSpec, sample: Sample) -> dict[str, bytes]:
    """Return the members of a shard for a sample, by name; WebDataset joins those with the same key."""
    document = {**sample.metadata, "labels": sample.labels, "stops": sample.stops}
    members = {
        sample.file_name: sample.data,
        f"{sample.key}.json": json.dumps(document, ensure_ascii=False, sort_keys=True).encode(),
    }
    target = _only_target(spec)
    if target is not None:
        members[f"{sample.key}.cls"] = str(target.classes.index(str(sample.labels[target.name]))).encode()
    return members


def _only_target(spec: DatasetSpec) -> TargetSpec | None:
    """Return the target of a data set that has one, with one class per photograph."""
    (target, *others) = spec.targets
    return None if others or target.multilabel else target


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # without times and owners, so that equal samples give equal bytes
    member.size = len(data)
    shard.addfile(member, io.BytesIO(data))


def write_imagefolder(folder: Path, spec: DatasetSpec, split: str, samples: Iterable[Sample]) -> int:
    """Write ``SPLIT/CLASS/KEY.jpg``; formats that torchvision ignores become lossless PNG.

    A split has a folder for each class, also without photographs, so that classes have the same numbers in all splits.
    `IMAGE_METADATA` names the images of a split, because ``datasets`` would take a class called ``train`` for a split.
    ``SHA256SUMS`` lists the hashes of the images for ``sha256sum --check``.

    Raises:
        UsageError: The data set has several targets or a multilabel target.
    """
    target = _only_target(spec)
    if target is None:
        names = ", ".join(target.name for target in spec.targets)
        raise UsageError(
            f"Format imagefolder needs one target with one class per photograph; this data set has {names}. Use "
            "parquet or webdataset."
        )
    rows: list[dict[str, Any]] = []
    with (folder / "SHA256SUMS").open("a", encoding="utf-8") as sums:
        for sample in samples:
            for name in () if rows else target.classes:
                (folder / split / folder_name(name)).mkdir(parents=True)
            rows.append(_write_image(folder / split, target, sample, sums))
    if rows:
        pq.write_table(pa.Table.from_pylist(rows, _image_metadata_schema(target)), folder / split / IMAGE_METADATA)
    return len(rows)


def _write_image(folder: Path, target: TargetSpec, sample: Sample, sums: TextIO) -> dict[str, Any]:
    """Write an image into the folder of its class, and return its row of `IMAGE_METADATA`."""
    data, file_name = sample.data, sample.file_name
    if sample.suffix not in _TORCHVISION_SUFFIXES:
        data, file_name = png_bytes(sample.data), f"{sample.key}.png"
    label, sha256 = str(sample.labels[target.name]), hashlib.sha256(data).hexdigest()
    path = f"{folder_name(label)}/{file_name}"
    (folder / path).write_bytes(data)
    sums.write(f"{sha256}  {folder.name}/{path}\n")
    return {"file_name": path, "label": target.classes.index(label), **sample.metadata, FILE_HASH: sha256}


def write_parquet(folder: Path, spec: DatasetSpec, split: str, samples: Iterable[Sample]) -> int:
    """Write ``data/SPLIT.parquet`` with the image and class-label features of Hugging Face ``datasets``."""
    schema, count = _schema(spec), 0
    (folder / "data").mkdir(exist_ok=True)
    metadata_columns = [name for name in schema.names if name != "image"]
    with pq.ParquetWriter(
        folder / "data" / f"{split}.parquet",
        schema,
        compression="none",
        use_dictionary=metadata_columns,
        write_batch_size=1,  # otherwise the images of a row group are copied into one page
    ) as writer:
        group = _RowGroup(schema)
        for sample in samples:
            if len(group.rows) and len(group.images) + len(sample.data) > ROW_GROUP_BYTES:
                writer.write_table(group.take())
            group.add(_row(spec, sample), sample.data)
            count += 1
        writer.write_table(group.take())
    return count


class _RowGroup:
    """Rows that are collected, with their images end to end, so that these are held once."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self.rows: list[dict[str, Any]] = []
        self.images = bytearray()
        self._offsets = [0]

    def add(self, row: dict[str, Any], image: bytes) -> None:
        self.rows.append(row)
        self.images += image
        self._offsets.append(len(self.images))

    def take(self) -> pa.Table:
        """Return the rows as a table, and begin anew."""
        rows, fields = self.rows, self._schema.field("image").type
        buffers = [None, pa.py_buffer(np.array(self._offsets, np.int32)), pa.py_buffer(self.images)]
        images = pa.Array.from_buffers(pa.binary(), len(rows), buffers)
        paths = pa.array([row["path"] for row in rows], pa.string())
        columns = {"image": pa.StructArray.from_arrays([images, paths], fields=list(fields))}
        for field in list(self._schema)[1:]:
            columns[field.name] = pa.array([row[field.name] for row in rows], field.type)
        self.rows, self.images, self._offsets = [], bytearray(), [0]
        return pa.table([columns[name] for name in self._schema.names], schema=self._schema)


def _row(spec: DatasetSpec, sample: Sample) -> dict[str, Any]:
    row: dict[str, Any] = {"path": sample.file_name, **sample.metadata}
    for target in spec.targets:
        label = sample.labels[target.name]
        if isinstance(label, list):
            row[label_column(target.name)] = [target.classes.index(name) for name in label]
        else:
            row[label_column(target.name)] = None if label is None else target.classes.index(label)
        row[stops_column(target.name)] = sample.stops.get(target.name)
    return row


def _schema(spec: DatasetSpec) -> pa.Schema:
    """Return the schema with the metadata from which ``datasets`` makes its features."""
    fields = [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    names = (*METADATA_COLUMNS, FILE_HASH)
    fields += [(name, pa.string()) for name in names]
    features: dict[str, Any] = dict.fromkeys(names, _STRING) | {"image": {"_type": "Image"}}
    for target in spec.targets:
        label, stops, class_label = label_column(target.name), stops_column(target.name), _class_label(target)
        if target.multilabel:
            fields.append((label, pa.list_(pa.int64())))
            features[label] = {"feature": class_label, "_type": "Sequence"}
        else:
            fields += [(label, pa.int64()), (stops, pa.float64())]
            features |= {label: class_label, stops: {"dtype": "float64", "_type": "Value"}}
    return _hugging_face_schema(fields, features)


def _image_metadata_schema(target: TargetSpec) -> pa.Schema:
    names = ("file_name", *METADATA_COLUMNS, FILE_HASH)
    fields = [("file_name", pa.string()), ("label", pa.int64()), *((name, pa.string()) for name in names[1:])]
    return _hugging_face_schema(fields, dict.fromkeys(names, _STRING) | {"label": _class_label(target)})


def _class_label(target: TargetSpec) -> dict[str, Any]:
    return {"names": list(target.classes), "_type": "ClassLabel"}


def _hugging_face_schema(fields: list[tuple[str, pa.DataType]], features: dict[str, Any]) -> pa.Schema:
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def webdataset_features(spec: DatasetSpec, suffixes: Iterable[str]) -> list[dict[str, Any]]:
    """Return the features of WebDataset shards for the header of a README, as Hugging Face ``datasets`` reads them.

    Without them it takes the members of the first sample for those of all, and refuses other image formats.

    Args:
        spec: Spec of the data set.
        suffixes: Suffixes of the images.
    """
    labels = [{"name": target.name, "list" if target.multilabel else "dtype": "string"} for target in spec.targets]
    stops = [{"name": target.name, "dtype": "float64"} for target in spec.targets if not target.multilabel]
    document = [
        *({"name": name, "dtype": "string"} for name in METADATA_COLUMNS),
        {"name": "labels", "struct": labels},
        *([{"name": "stops", "struct": stops}] if stops else []),
    ]
    features: list[dict[str, Any]] = [{"name": suffix, "dtype": "image"} for suffix in sorted(suffixes)]
    features.append({"name": "json", "struct": document})
    if _only_target(spec) is not None:
        features.append({"name": "cls", "dtype": "int64"})
    return [*features, {"name": "__key__", "dtype": "string"}, {"name": "__url__", "dtype": "string"}]


class Format(NamedTuple):
    """A format of packs.

    Attributes:
        write: Writes the samples of a split.
        files: Pattern of the files of a split, for the header of the README.
    """

    write: Writer
    files: str


FORMATS = {
    "webdataset": Format(write_webdataset, "{split}-*.tar"),
    "imagefolder": Format(write_imagefolder, "{split}/**"),
    "parquet": Format(write_parquet, "data/{split}.parquet"),
}
