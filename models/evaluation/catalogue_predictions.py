"""Predictions for many stored photographs, on this machine or on a cluster, into one Parquet file."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter.errors import LightmeterError
from lightmeter.executors.base import Executor, Failed, Shard
from lightmeter.files import atomic_path, output_path, write_atomic
from lightmeter.models.evaluation.predictions import CLASS_SEPARATOR
from lightmeter.models.runtime.predictor import PhotoPrediction
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput
from lightmeter.models.training.packed_model import PackedModel
from lightmeter.store.base import PhotographError, PhotoStore

_BATCH = 64
_IDENTITY = "work.json"

SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("target", pa.string()),
        ("class", pa.string()),
        ("probabilities", pa.list_(pa.float64())),
        ("stops", pa.float64()),
    ]
)
"""Columns of the file: one row per photograph and target.

``class`` holds the classes of a multilabel target separated by ``|``; ``probabilities`` are in the order of the
target's classes, which the metadata of the file name; ``stops`` is null for targets without numbers.
"""

_PART = SCHEMA.append(pa.field("reason", pa.string()))  # rows of photographs that cannot be used have nothing else


@dataclass(frozen=True)
class PredictBatch:
    """A function that predicts photographs of a store, and can be sent to other machines."""

    model: PackedModel
    store: PhotoStore

    def __call__(self, hashes: Sequence[str]) -> pa.Table:
        """Return the rows of some photographs; one that cannot be used has a reason instead of predictions.

        Raises:
            StoreError: The store cannot be read.
        """
        predictor = self.model.open()

        def decode(sha256: str) -> ModelInput | str:
            try:
                return predictor.preprocess(self.store.read(sha256))
            except InvalidPhoto as error:
                return error.reason
            except PhotographError as error:
                return f"store: {error.reason}"

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            decoded = list(threads.map(decode, hashes))
        usable = iter(predictor.predict_batch([photo for photo in decoded if isinstance(photo, ModelInput)]))
        rows: list[dict[str, Any]] = []
        for sha256, photo in zip(hashes, decoded, strict=True):
            outcome = photo if isinstance(photo, str) else next(usable)
            if isinstance(outcome, PhotoPrediction):
                rows += _rows(sha256, outcome)
            else:
                rows.append({"sha256": sha256, "reason": outcome if isinstance(outcome, str) else outcome.reason})
        return pa.Table.from_pylist(rows, _PART)


class ShardRecords:
    """Results of finished shards, as tables in a folder, so that a restart skips what is done.

    Args:
        folder: The folder; created if it is missing.
        identity: What decides the results. Records of another identity are deleted.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        text = json.dumps(identity, sort_keys=True)
        file = folder / _IDENTITY
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            shutil.rmtree(folder, ignore_errors=True)
            write_atomic(file, text)

    def __contains__(self, key: str) -> bool:
        return self._file(key).is_file()

    def save(self, key: str, table: pa.Table) -> None:
        """Record that a shard is done."""
        with atomic_path(self._file(key)) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def read(self, key: str) -> pa.Table:
        """Return the result of a shard."""
        return pq.read_table(self._file(key))

    def delete(self) -> None:
        """Delete all records."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.parquet"


@dataclass(frozen=True)
class CataloguePredictions:
    """Result of predicting photographs of a catalogue.

    Attributes:
        photographs: Number of photographs with predictions.
        rows: Number of rows of the file.
        failed: Reason for each photograph that could not be used, by SHA-256.
    """

    photographs: int
    rows: int
    failed: dict[str, str]


def predict_catalogue(
    model: PackedModel,
    store: PhotoStore,
    hashes: Iterable[str],
    out: Path,
    executor: Executor,
    on_progress: Callable[[int], object] = lambda _: None,
) -> CataloguePredictions:
    """Predict photographs and write a Parquet file with the columns of `SCHEMA`.

    Finished batches are kept in a folder beside the file until it is complete, so that an interrupted prediction
    continues.

    Args:
        model: The model.
        store: Store of the photographs.
        hashes: SHA-256 of the photographs, in an order that stays.
        out: File to write.
        executor: Where the photographs are predicted.
        on_progress: Called with the number of photographs done since the last call.

    Raises:
        LightmeterError: There are no photographs.
        StoreError: The store cannot be read.
    """
    records = ShardRecords(out.with_name(f"{out.name}.parts"), {"model": model.sha256, "engine": model.engine})
    keys: list[str] = []

    def missing() -> Iterator[Shard[Sequence[str]]]:
        remaining = iter(hashes)
        while batch := tuple(islice(remaining, _BATCH)):
            keys.append(hashlib.sha256("".join(batch).encode()).hexdigest()[:32])
            if keys[-1] in records:
                on_progress(len(batch))
            else:
                yield Shard(keys[-1], [batch])

    for shard, (outcome,) in executor.run(PredictBatch(model, store), missing()):
        if isinstance(outcome, Failed):
            raise outcome.error
        records.save(shard.key, outcome)
        on_progress(len(shard.items[0]))
    if not keys:
        records.delete()
        raise LightmeterError("There is no readable photograph to predict.")
    result = _write(out, keys, records, model)
    records.delete()
    return result


def _write(out: Path, keys: Sequence[str], records: ShardRecords, model: PackedModel) -> CataloguePredictions:
    spec = model.open().spec
    classes = {f"classes:{target.name}": CLASS_SEPARATOR.join(target.classes) for target in spec.targets}
    metadata = {"model": spec.name, "version": spec.version, "weights_sha256": spec.weights_sha256, **classes}
    failed: dict[str, str] = {}
    rows = 0
    with (
        output_path(out) as temporary,
        pq.ParquetWriter(temporary, SCHEMA.with_metadata(metadata), compression="zstd") as writer,
    ):
        for table in map(records.read, keys):
            usable = table.filter(table["reason"].is_null()).select(SCHEMA.names)
            writer.write_table(usable.replace_schema_metadata(metadata))
            rows += usable.num_rows
            unusable = table.filter(table["reason"].is_valid())
            failed |= dict(zip(unusable["sha256"].to_pylist(), unusable["reason"].to_pylist(), strict=True))
    return CataloguePredictions(rows // len(spec.targets), rows, failed)


def _rows(sha256: str, prediction: PhotoPrediction) -> Iterator[dict[str, Any]]:
    for target, value in prediction.predictions.items():
        label = value.label if value.labels is None else CLASS_SEPARATOR.join(value.labels)
        probabilities = list(value.probabilities.values())
        yield {
            "sha256": sha256,
            "target": target,
            "class": label,
            "probabilities": probabilities,
            "stops": value.stops,
        }
