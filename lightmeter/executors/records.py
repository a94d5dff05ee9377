"""Completion records: the result of each finished shard, so that a restart skips what is done."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter.files import atomic_path, write_atomic

_IDENTITY = "work.json"


class ShardRecords:
    """Tables in a folder, one for each finished shard.

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
