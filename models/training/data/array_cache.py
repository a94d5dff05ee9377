"""A folder that keeps arrays of photographs: computed once, whatever data set asks for them.

The arrays of all photographs are one after another in a file for each name, memory-mapped when they are read. An index
with a line for each photograph says where they are. The files only grow, so what was written before an interruption is
never computed again. Checksums tell damaged files from those that were written.
"""

import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightmeter.errors import LightmeterError, is_disk_full
from lightmeter.files import check_own_files

_INDEX = "photographs.jsonl"
_CHECKPOINT_PHOTOGRAPHS, _CHECKPOINT_BYTES = 100, 64_000_000
_KINDS = "arrays"  # key of the line of the index with the type and shape of each array

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Entry:
    """What the index says about a photograph.

    Attributes:
        position: Index of its arrays; −1 if it could not be decoded.
        statistics: Its image statistics.
        reason: Why it could not be decoded.
        checksum: CRC-32 of its arrays.
    """

    position: int = -1
    statistics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    checksum: int = 0


class ArrayCache:
    """The arrays of photographs in a folder; only one process at a time may add some.

    Args:
        folder: The folder; it need not exist yet.

    Attributes:
        entries: What is known about each photograph, by its key.

    Raises:
        LightmeterError: The index is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, Entry] = {}
        self._kinds: dict[str, tuple[str, list[int]]] = {}
        self._count = self._index_bytes = 0
        self._pending: list[tuple[str, Entry, Arrays]] = []
        self._read()

    def arrays(self, keys: Collection[str]) -> dict[str, NDArray[Any]]:
        """Return the arrays of all photographs by name, memory-mapped, each with a leading axis of photographs.

        Args:
            keys: Photographs whose arrays are checked.

        Raises:
            LightmeterError: A file is missing, too short or damaged.
        """
        try:
            arrays: dict[str, NDArray[Any]] = {
                name: np.memmap(self._file(name), dtype, "r", shape=(self._count, *shape))
                for name, (dtype, shape) in self._kinds.items()
            }
        except (OSError, ValueError, TypeError) as error:
            raise self._damaged() from error
        for entry in (self.entries[key] for key in keys):
            row = {name: values[entry.position] for name, values in arrays.items() if entry.position >= 0}
            if _checksum(row) != entry.checksum:
                raise self._damaged()
        return arrays

    def add(self, key: str, arrays: Arrays, statistics: Mapping[str, float]) -> None:
        """Add a photograph; it is in the files after every hundredth one and after `flush`.

        Args:
            key: What identifies the photograph.
            arrays: Its arrays.
            statistics: Its image statistics.
        """
        position = self._count + sum(bool(arrays) for _, _, arrays in self._pending)
        self._add(key, Entry(position, statistics, checksum=_checksum(arrays)), arrays)

    def add_unreadable(self, key: str, reason: str) -> None:
        """Add a photograph that cannot be decoded."""
        self._add(key, Entry(reason=reason), {})

    def flush(self) -> None:
        """Write the photographs that were added.

        Raises:
            LightmeterError: The disk is full.
        """
        try:
            self._write()
        except OSError as error:
            if is_disk_full(error):
                raise LightmeterError(
                    f"The disk of {self.folder.parent} is full; free some space and try again."
                ) from error
            raise
        self._pending.clear()

    def _add(self, key: str, entry: Entry, arrays: Arrays) -> None:
        self._pending.append((key, entry, arrays))
        size = len(self._pending) * sum(values.nbytes for values in arrays.values())
        if len(self._pending) >= _CHECKPOINT_PHOTOGRAPHS or size >= _CHECKPOINT_BYTES:
            self.flush()

    def _write(self) -> None:
        """Append arrays, then lines of the index, each after what the index so far says is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines: list[dict[str, Any]] = [{"photograph": key, **asdict(entry)} for key, entry, _ in self._pending]
        decoded = [arrays for _, _, arrays in self._pending if arrays]
        kinds = self._kinds
        if decoded and not kinds:
            kinds = {name: (values.dtype.str, list(values.shape)) for name, values in decoded[0].items()}
            lines.insert(0, {_KINDS: kinds})
        for name, (dtype, shape) in kinds.items():
            data = b"".join(np.ascontiguousarray(arrays[name], dtype).tobytes() for arrays in decoded)
            _append(self._file(name), self._count * _size(dtype, shape), data)
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        _append(self.folder / _INDEX, self._index_bytes, text)
        self._kinds = kinds
        self._index_bytes += len(text)
        self._count += len(decoded)
        self.entries.update({key: entry for key, entry, _ in self._pending})

    def _read(self) -> None:
        check_own_files(self.folder)
        index = self.folder / _INDEX
        content = index.read_bytes() if index.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]  # a process may have been killed while it wrote
        try:
            for text in complete.splitlines():
                line = json.loads(text)
                if _KINDS in line:
                    self._kinds = {name: (dtype, shape) for name, (dtype, shape) in line[_KINDS].items()}
                else:
                    entry = Entry(int(line["position"]), line["statistics"], line["reason"], int(line["checksum"]))
                    self.entries[line["photograph"]] = entry
                    self._count = max(self._count, entry.position + 1)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged() from error
        self._index_bytes = len(complete)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def _damaged(self) -> LightmeterError:
        return LightmeterError(f"The cache {self.folder} is damaged; delete this folder and try again.")


def _checksum(arrays: Arrays) -> int:
    checksum = 0
    for name in sorted(arrays):
        checksum = zlib.crc32(np.ascontiguousarray(arrays[name]).data, checksum)
    return checksum


def _append(file: Path, offset: int, data: bytes) -> None:
    """Write data to a file from an offset on, and end it there."""
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.seek(offset)
        opened.write(data)
        opened.truncate()


def _size(dtype: str, shape: list[int]) -> int:
    return int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))
