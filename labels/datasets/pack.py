"""Packs in WebDataset format as data sets: images are read from the tar files, which are never unpacked.

Such a pack has a manifest of its images (``sha256`` is that of the packed file), and an index that says where they are
in the tar files. Their bytes are compared with their hashes whenever they are read.
"""

import re
import tarfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path, open_regular
from lightmeter.labels.datasets.manifest import SPLITS, read_table
from lightmeter.store.base import MAX_BYTES, Fault, PhotographError, PhotoStore, StoredFile, StoreError

INDEX_FILE = "index.parquet"

_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("file", pa.dictionary(pa.int32(), pa.string())),
        ("offset", pa.int64()),
        ("size", pa.int64()),
    ]
)
_TAR = re.compile(rf"({'|'.join(SPLITS)})-\d{{6}}\.tar")
_NO_IMAGES = (".json", ".cls")


class PackStore(PhotoStore):
    """The images in the tar files of a pack. Nothing is written.

    Args:
        folder: Folder of the pack.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.url = str(self.folder)

    def create(self) -> None:
        raise self._read_only()

    def check_access(self) -> None:
        """Check that all tar files exist.

        Raises:
            UsageError: One is missing, or the index is damaged.
        """
        missing = next((name for name in self._files if not (self.folder / name).is_file()), None)
        if missing:
            raise UsageError(f"The pack {self} is incomplete: {missing} is missing; copy it again.")

    def check(self, hashes: Sequence[str]) -> None:
        """Check that the tar files exist and that the index has all images.

        Raises:
            UsageError: Something is missing, or the index is damaged.
        """
        self.check_access()
        missing = next((sha256 for sha256 in hashes if self._position(sha256) is None), None)
        if missing:
            raise UsageError(f"The pack {self} is damaged: {INDEX_FILE} lacks the image {missing}.")

    def put(self, sha256: str, data: bytes) -> bool:
        raise self._read_only()

    def read(self, sha256: str) -> bytes:
        position = self._position(sha256)
        if position is None:
            raise self._error(sha256, "it is not in the pack", "missing")
        try:
            with open_regular(self.folder / str(self.pack_file(sha256))) as file:
                file.seek(int(self._offsets[position]))
                return self._checked(sha256, file.read(int(self._sizes[position])))
        except OSError as error:
            fault: Fault = "missing" if isinstance(error, FileNotFoundError) else "damaged"
            raise self._error(sha256, error.strerror or str(error), fault) from error

    def fault(self, sha256: str) -> Fault | None:
        try:
            self.read(sha256)
        except PhotographError as error:
            return error.fault
        return None

    def size(self, sha256: str) -> int | None:
        position = self._position(sha256)
        return None if position is None else int(self._sizes[position])

    def discard(self, sha256: str) -> bool:
        raise self._read_only()

    def files(self, shard: str) -> Iterator[StoredFile]:
        for digits, size in zip(self._hashes.tolist(), self._sizes.tolist(), strict=True):
            if digits.startswith(shard.encode()):
                yield StoredFile(digits.decode(), size, datetime.fromtimestamp(0, UTC))

    def path(self, sha256: str) -> Path:
        raise StoreError(f"The images of the pack {self} are not files of their own.")

    def location(self, sha256: str) -> str:
        return f"{self.folder / (self.pack_file(sha256) or '')}#{sha256}"

    def pack_file(self, sha256: str) -> str | None:
        position = self._position(sha256)
        return None if position is None else self._files[self._numbers[position]]

    def _position(self, sha256: str) -> int | None:
        """Return the row of an image in the index."""
        position = int(np.searchsorted(self._hashes, sha256.encode()))
        return position if position < len(self._hashes) and self._hashes[position] == sha256.encode() else None

    @cached_property
    def _index(self) -> pa.Table:
        file = self.folder / INDEX_FILE
        table = read_table(file)
        try:
            table = table.cast(_SCHEMA).combine_chunks()
        except (pa.ArrowException, ValueError) as error:
            raise UsageError(f"{file} is damaged: its columns are {', '.join(table.column_names)}.") from error
        hashes, names = table["sha256"], table["file"].chunk(0).dictionary.to_pylist() if table.num_rows else []
        valid = (
            all(table[name].null_count == 0 for name in table.column_names)
            and pc.all(pc.match_substring_regex(hashes, r"\A[0-9a-f]{64}\z")).as_py()
            and all(_TAR.fullmatch(name) for name in names)
            and pc.all(pc.and_(pc.greater_equal(table["offset"], 0), pc.greater_equal(table["size"], 0))).as_py()
            and pc.all(pc.less_equal(table["size"], MAX_BYTES)).as_py()
        )
        if not valid:
            raise UsageError(f"{file} is damaged: it has a value that is not allowed.")
        return table.sort_by("sha256").combine_chunks()

    @cached_property
    def _hashes(self) -> NDArray[np.bytes_]:
        return np.asarray(self._index["sha256"].to_pylist(), "S64")

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        return np.asarray(self._index["offset"].to_numpy())

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        return np.asarray(self._index["size"].to_numpy())

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        return np.asarray(self._index["file"].chunk(0).indices)

    @cached_property
    def _files(self) -> list[str]:
        """The names of the tar files, in the order of their numbers."""
        return [str(name) for name in self._index["file"].chunk(0).dictionary.to_pylist()]

    def _read_only(self) -> StoreError:
        return StoreError(f"The pack {self} can only be read.")


def write_index(folder: Path, hashes: Sequence[str]) -> None:
    """Write the index of a pack.

    Args:
        folder: Folder of the tar files.
        hashes: SHA-256 of the images, in the order of the splits and of the samples in the tar files.
    """
    members = [member for split in SPLITS for file in sorted(folder.glob(f"{split}-*.tar")) for member in _images(file)]
    rows: dict[str, dict[str, Any]] = {}
    for sha256, member in zip(hashes, members, strict=True):
        rows.setdefault(sha256, {"sha256": sha256, **member})  # equal images are one
    with atomic_path(folder / INDEX_FILE) as temporary:
        table = pa.Table.from_pylist([rows[sha256] for sha256 in sorted(rows)], _SCHEMA)
        pq.write_table(table, temporary, compression="zstd", store_schema=False)


def _images(file: Path) -> Iterator[dict[str, Any]]:
    """Yield where the images of a tar file are."""
    with tarfile.open(file, "r:") as tar:
        for member in tar:
            if not member.name.endswith(_NO_IMAGES):
                yield {"file": file.name, "offset": member.offset_data, "size": member.size}
