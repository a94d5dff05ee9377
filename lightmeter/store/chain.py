"""Several photo stores that are read as one."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from lightmeter.store.base import Fault, PhotoStore, StoredFile, StoreError


class StoreChain(PhotoStore):
    """Read photographs from the first of several stores that has them. Nothing is written.

    Args:
        stores: At least one store.
    """

    def __init__(self, stores: Sequence[PhotoStore]) -> None:
        self._stores = tuple(stores)
        self.url = ", ".join(store.url for store in stores)

    def create(self) -> None:
        raise self._read_only()

    def check_access(self) -> None:
        for store in self._stores:
            store.check_access()

    def put(self, sha256: str, data: bytes) -> bool:
        raise self._read_only()

    def read(self, sha256: str) -> bytes:
        return self._store_of(sha256).read(sha256)

    def fault(self, sha256: str) -> Fault | None:
        return self._store_of(sha256).fault(sha256)

    def size(self, sha256: str) -> int | None:
        return self._store_of(sha256).size(sha256)

    def discard(self, sha256: str) -> bool:
        raise self._read_only()

    def shards(self) -> Collection[str]:
        return {shard for store in self._stores for shard in store.shards()}

    def files(self, shard: str) -> Iterator[StoredFile]:
        files = {file.sha256: file for store in self._stores for file in store.files(shard)}
        yield from (files[sha256] for sha256 in sorted(files))

    def pack_file(self, sha256: str) -> str | None:
        store = self._store_of(sha256)
        file = store.pack_file(sha256)
        return file and f"{store}/{file}"

    def path(self, sha256: str) -> Path:
        return self._store_of(sha256).path(sha256)

    def location(self, sha256: str) -> str:
        return self._store_of(sha256).location(sha256)

    def _store_of(self, sha256: str) -> PhotoStore:
        """Return the first store that has a photograph; the first of all if none has it."""
        return next((store for store in self._stores if store.size(sha256) is not None), self._stores[0])

    def _read_only(self) -> StoreError:
        return StoreError(f"The photo stores {self} of several data sets can only be read.")
