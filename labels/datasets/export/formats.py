"""Export formats. Writers take one sample at a time, so that memory stays bounded."""

import io
import itertools
import json
import re
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import DatasetSpec, label_column, stops_column
from lightmeter.labels.datasets.export.samples import METADATA_COLUMNS, Sample

Writer = Callable[[Path, DatasetSpec, str, Iterable[Sample]], int]
"""Writes the samples of a split: output folder, spec, split, samples. Returns the number of samples."""

MAX_SHARD_BYTES = 256 * 2**20
_BATCH_SIZE = 100


def write_webdataset(folder: Path, _: DatasetSpec, split: str, samples: Iterable[Sample]) -> int:
    """Write tar shards ``SPLIT-000000.tar``: each image file with a ``.json`` of labels and metadata."""
    count, iterator = 0, iter(samples)
    sample = next(iterator, None)
    for n_shards in itertools.count():
        if sample is None:
            break
        with tarfile.open(folder / f"{split}-{n_shards:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as shard:
            while sample is not None and shard.offset <= MAX_SHARD_BYTES:
                _add(shard, sample.file_name, sample.data)
                document = {**sample.metadata, "labels": sample.labels, "stops": sample.stops}
                _add(shard, f"{sample.key}.json", json.dumps(document, ensure_ascii=False, sort_keys=True).encode())
                count, sample = count + 1, next(iterator, None)
    return count


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # without times and owners, so that equal samples give equal bytes
    member.size = len(data)
    shard.addfile(member, io.BytesIO(data))


def write_imagefolder(folder: Path, spec: DatasetSpec, split: str, samples: Iterable[Sample]) -> int:
    """Write ``SPLIT/CLASS/KEY.jpg``.

    Raises:
        UsageError: The data set has several targets or a multilabel target.
    """
    if len(spec.targets) != 1 or spec.targets[0].multilabel:
        names = ", ".join(target.name for target in spec.targets)
        raise UsageError(
            f"Format imagefolder needs one target with one class per photograph; this data set has {names}. Use "
            "parquet or webdataset."
        )
    count = 0
    for sample in samples:
        class_folder = folder / split / folder_name(str(sample.labels[spec.targets[0].name]))
        class_folder.mkdir(parents=True, exist_ok=True)
        (class_folder / sample.file_name).write_bytes(sample.data)
        count += 1
    return count


def folder_name(name: str) -> str:
    """Return a class name as a folder name: ``1/60`` becomes ``1-60``."""
    return re.sub(r"[^\w.,+-]+", "-", name)


def write_parquet(folder: Path, spec: DatasetSpec, split: str, samples: Iterable[Sample]) -> int:
    """Write ``data/SPLIT.parquet`` with the image and class-label features of Hugging Face ``datasets``."""
    schema, iterator, count = _schema(spec), iter(samples), 0
    (folder / "data").mkdir(exist_ok=True)
    with pq.ParquetWriter(folder / "data" / f"{split}.parquet", schema, compression="none") as writer:
        while batch := list(itertools.islice(iterator, _BATCH_SIZE)):
            writer.write_table(pa.Table.from_pylist([_row(spec, sample) for sample in batch], schema))
            count += len(batch)
    return count


def _row(spec: DatasetSpec, sample: Sample) -> dict[str, Any]:
    row: dict[str, Any] = {"image": {"bytes": sample.data, "path": sample.file_name}, **sample.metadata}
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
    fields += [(name, pa.string()) for name in METADATA_COLUMNS]
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in METADATA_COLUMNS}
    features["image"] = {"_type": "Image"}
    for target in spec.targets:
        label, stops = label_column(target.name), stops_column(target.name)
        class_label = {"names": list(target.classes), "_type": "ClassLabel"}
        if target.multilabel:
            fields.append((label, pa.list_(pa.int64())))
            features[label] = {"feature": class_label, "_type": "Sequence"}
        else:
            fields += [(label, pa.int64()), (stops, pa.float64())]
            features |= {label: class_label, stops: {"dtype": "float64", "_type": "Value"}}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


FORMATS: dict[str, Writer] = {
    "webdataset": write_webdataset,
    "imagefolder": write_imagefolder,
    "parquet": write_parquet,
}
