"""The forms of a pack. Each writer takes one side's pictures one after the other, so memory stays bounded."""

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import DatasetSpec
from lightmeter.labels.datasets.export.samples import Sample

Writer = Callable[[Path, DatasetSpec, str, Iterable[Sample]], int]
"""Takes the pack's folder, the data set's spec, the side and its pictures; returns how many there were."""

SHARD_BYTES = 256 * 2**20
_ROWS = 100


def write_webdataset(folder: Path, _: DatasetSpec, side: str, pictures: Iterable[Sample]) -> int:
    """Write tar shards ``SIDE-000000.tar``: of each picture its file and a ``.json`` with labels and facts."""
    count, number, shard = 0, 0, None
    try:
        for item in pictures:
            if shard is None or shard.offset > SHARD_BYTES:
                number, shard = _next_shard(folder, side, number, shard)
            _add(shard, f"{item.key}.{item.suffix}", item.data)
            known = {**item.facts, "labels": item.labels, "stops": item.stops}
            _add(shard, f"{item.key}.json", json.dumps(known, ensure_ascii=False, sort_keys=True).encode())
            count += 1
    finally:
        if shard is not None:
            shard.close()
    return count


def _next_shard(folder: Path, side: str, number: int, last: tarfile.TarFile | None) -> tuple[int, tarfile.TarFile]:
    if last is not None:
        last.close()
    return number + 1, tarfile.open(folder / f"{side}-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT)


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no times and no owners: the same pictures give the same bytes
    member.size = len(data)
    shard.addfile(member, io.BytesIO(data))


def write_imagefolder(folder: Path, spec: DatasetSpec, side: str, pictures: Iterable[Sample]) -> int:
    """Write ``SIDE/CLASS/KEY.jpg``; a pack of this form has one target.

    Raises:
        UsageError: if the data set has several targets, or one with several classes a photograph.
    """
    if len(spec.targets) != 1:
        names = ", ".join(target.name for target in spec.targets)
        raise UsageError(f"Folders can stand for the classes of one target only; this data set has {names}.")
    target = spec.targets[0].name
    if spec.targets[0].multilabel:
        raise UsageError(f"A photograph lies in one folder, and of {target} it can have several classes.")
    count = 0
    for item in pictures:
        place = folder / side / folder_name(str(item.labels[target]))
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{item.key}.{item.suffix}").write_bytes(item.data)
        count += 1
    return count


def folder_name(name: str) -> str:
    """Return a class's name as a folder can have it: ``1/60`` becomes ``1-60``."""
    return re.sub(r"[^\w.,+-]+", "-", name)


def write_parquet(folder: Path, spec: DatasetSpec, side: str, pictures: Iterable[Sample]) -> int:
    """Write ``data/SIDE.parquet`` with an image column and class labels as Hugging Face's ``datasets`` knows them."""
    schema = _schema(spec)
    (folder / "data").mkdir(exist_ok=True)
    count = 0
    with pq.ParquetWriter(folder / "data" / f"{side}.parquet", schema, compression="none") as writer:
        for batch in _batches(pictures):
            writer.write_table(pa.Table.from_pylist([_row(spec, item) for item in batch], schema))
            count += len(batch)
    return count


def _batches(pictures: Iterable[Sample]) -> Iterator[list[Sample]]:
    rest = iter(pictures)
    while batch := list(islice(rest, _ROWS)):
        yield batch


def _row(spec: DatasetSpec, item: Sample) -> dict[str, Any]:
    row: dict[str, Any] = {"image": {"bytes": item.data, "path": f"{item.key}.{item.suffix}"}, **item.facts}
    for target in spec.targets:
        label = item.labels[target.name]
        if isinstance(label, list):
            row[f"label_{target.name}"] = [target.classes.index(one) for one in label]
        else:
            row[f"label_{target.name}"] = None if label is None else target.classes.index(label)
        if not target.multilabel:
            row[f"stops_{target.name}"] = item.stops[target.name]
    return row


def _schema(spec: DatasetSpec) -> pa.Schema:
    fields = [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    for name in ("sha256", "group", "source", "owner", "licence", "make", "model"):
        fields.append((name, pa.string()))
        features[name] = {"dtype": "string", "_type": "Value"}
    for target in spec.targets:
        one_class = {"names": list(target.classes), "_type": "ClassLabel"}
        if target.multilabel:
            fields.append((f"label_{target.name}", pa.list_(pa.int64())))
            features[f"label_{target.name}"] = {"feature": one_class, "_type": "Sequence"}
            continue
        fields += [(f"label_{target.name}", pa.int64()), (f"stops_{target.name}", pa.float64())]
        features[f"label_{target.name}"] = one_class
        features[f"stops_{target.name}"] = {"dtype": "float64", "_type": "Value"}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


FORMATS: dict[str, Writer] = {
    "webdataset": write_webdataset,
    "imagefolder": write_imagefolder,
    "parquet": write_parquet,
}
