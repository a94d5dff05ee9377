"""The interface of photo stores."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Self, TypeVar

from lightmeter.errors import LightmeterError

MAX_BYTES = 2**31
"""Largest photograph that is read."""

SHARDS = tuple(f"{number:02x}" for number in range(256))
"""The parts of a store: the first two digits of the hashes in each."""

Fault = Literal["missing", "damaged"]
Result = TypeVar("Result")


class StoreError(LightmeterError):
    """The photo store cannot be used: it cannot be reached, access is denied, or the disk is full."""


class PhotographError(StoreError):
    """A photograph is missing in the store, or its file is not what its hash says.

    Attributes:
        reason: Why, for example ``its bytes have changed``.
        fault: Kind of the fault.
    """

    def __init__(self, message: str, reason: str = "", fault: Fault = "damaged") -> None:
        super().__init__(message)
        self.reason, self.fault = reason, fault


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An entry of a store.

    Attributes:
        sha256: Its name, which is the SHA-256 of its bytes unless something else lies in the store.
        size: Size in bytes.
        modified: When it was last stored.
    """

    sha256: str
    size: int
    modified: datetime

    @property
    def key(self) -> str:
        """Path relative to the store."""
        return relative_path(self.sha256)


class PhotoStore(ABC):
    """Content-addressed files. A store can be sent to other processes, and used by several threads.

    Attributes:
        url: Where the store is, without secrets.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most stores have none
        """Remove temporary files of this process."""

    @abstractmethod
    def create(self) -> None:
        """Create the store if it is missing, and check that it can be used.

        Raises:
            StoreError: It cannot.
        """

    @abstractmethod
    def check_access(self) -> None:
        """Check that the store exists and can be read.

        Raises:
            StoreError: It does not or cannot.
        """

    @abstractmethod
    def put(self, sha256: str, data: bytes) -> bool:
        """Store bytes under their hash, unless they are stored already.

        Bytes that were stored long ago count as stored now: what nothing names yet is recognised as recent.

        Returns:
            Whether a damaged file was replaced.

        Raises:
            StoreError: The store cannot be written to.
        """

    def stage(self, sha256: str, data: bytes) -> bool:
        """Store bytes as `put` does, but let them be readable and durable only once they are published.

        Publishing many at once takes much less time than storing each of them durably.

        Returns:
            Whether a damaged file will be replaced.

        Raises:
            StoreError: The store cannot be written to.
        """
        return self.put(sha256, data)

    def publish(self, hashes: Collection[str]) -> None:  # noqa: B027 - what most stores put is durable
        """Make photographs readable and durable that this process, or one that has a copy of this store, has staged.

        Raises:
            StoreError: The store cannot be written to.
        """

    @abstractmethod
    def read(self, sha256: str) -> bytes:
        """Return the bytes of a photograph, which are compared with its hash.

        Raises:
            PhotographError: It is missing, damaged or too large.
            StoreError: The store cannot be read.
        """

    @abstractmethod
    def fault(self, sha256: str) -> Fault | None:
        """Compare a stored photograph with its hash; return what is wrong, or None.

        Raises:
            StoreError: The store cannot be read.
        """

    def map(self, function: Callable[[str], Result], hashes: Iterable[str]) -> Iterator[Result]:
        """Apply a function that reads or writes a photograph to several, as many at a time as the store is made for."""
        return map(function, hashes)

    @abstractmethod
    def size(self, sha256: str) -> int | None:
        """Return the size of a stored photograph in bytes; None if it is missing.

        Raises:
            StoreError: The store cannot be read.
        """

    @abstractmethod
    def discard(self, sha256: str) -> bool:
        """Delete a photograph; return whether it was stored.

        Raises:
            StoreError: The store cannot be written to.
        """

    def shards(self) -> Collection[str]:
        """Return the parts of the store that may have files.

        Raises:
            StoreError: The store cannot be read.
        """
        return SHARDS

    @abstractmethod
    def files(self, shard: str) -> Iterator[StoredFile]:
        """Yield the files of a part of the store in the order of their names.

        Args:
            shard: One of `SHARDS`.

        Raises:
            StoreError: The store cannot be read.
        """

    def pack_file(self, sha256: str) -> str | None:
        """Return the file that holds a photograph together with others; None if it has a file of its own."""
        return None

    @abstractmethod
    def path(self, sha256: str) -> Path:
        """Return the path of a photograph on this machine; that of an object store is in its cache, for some time.

        Raises:
            PhotographError: It is missing or damaged in an object store.
            StoreError: The store cannot be read.
        """

    @abstractmethod
    def location(self, sha256: str) -> str:
        """Return the path of a photograph in a folder, or its URL in an object store."""

    def _error(self, sha256: str, reason: str, fault: Fault) -> PhotographError:
        return PhotographError(f"Cannot read the photograph {sha256} in the store {self} ({reason}).", reason, fault)

    def _checked(self, sha256: str, data: bytes) -> bytes:
        """Return bytes that have a hash.

        Raises:
            PhotographError: They have another one.
        """
        if hashlib.sha256(data).hexdigest() != sha256:
            raise self._error(sha256, "its bytes have changed", "damaged")
        return data


def relative_path(sha256: str) -> str:
    """Return the path of a photograph in a store."""
    return f"{sha256[:2]}/{sha256}"
