"""A photo store in S3-compatible object storage, or in the memory of one process for tests."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError, require_extra
from lightmeter.store.base import MAX_BYTES, Fault, PhotoStore, Result, StoredFile, StoreError, relative_path
from lightmeter.store.cache import ReadCache

_PART_BYTES = 16 << 20
"""Size of the parts in which large photographs are uploaded and read."""

_RENEWED_AFTER = timedelta(hours=6)
_CONNECTIONS = 32
_INVALID_SETTINGS = ("ConfigNotFound", "ConfigParseError", "InvalidRegionError", "ProfileNotFound", "ValueError")
_REASONS = {
    **dict.fromkeys(
        ("NoCredentialsError", "PartialCredentialsError"),
        "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "SSLError": "its endpoint has no valid TLS certificate; check AWS_ENDPOINT_URL",
}
_DENIED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


class ObjectStore(PhotoStore):
    """Objects whose keys end in their SHA-256, written only where there is none yet (``If-None-Match: *``).

    An upload that is interrupted leaves nothing. Requests are repeated when the service is busy or a connection is
    cut. Endpoint, region and credentials come from the variables and files of the AWS command line.

    Args:
        scheme: ``s3`` or ``memory``.
        root: Bucket and prefix.
        cache: Cache of what is read; None for none.
    """

    def __init__(self, scheme: str, root: str, cache: ReadCache | None = None) -> None:
        self.url = f"{scheme}://{root}"
        self._scheme, self._root, self._cache = scheme, root, cache

    def create(self) -> None:
        if self._scheme == "memory":
            _file_system(self._scheme, os.getpid()).makedirs(self._root, exist_ok=True)
        self.check_access()

    def check_access(self) -> None:
        with self._reported("read"):
            _file_system(self._scheme, os.getpid()).info(self._root.partition("/")[0])

    def put(self, sha256: str, data: bytes) -> bool:
        key, options = self._key(sha256), {"chunksize": _PART_BYTES} if self._scheme == "s3" else {}
        with self._reported("write to"):
            files = _file_system(self._scheme, os.getpid())
            try:
                files.pipe_file(key, data, mode="create", **options)
            except FileExistsError:
                stored = self._entry(sha256)
            else:
                return False
            is_damaged = stored is None or stored.size != len(data)
            if is_damaged or (stored and stored.modified < datetime.now(UTC) - _RENEWED_AFTER):
                files.pipe_file(key, data, mode="overwrite", **options)
        return is_damaged

    def read(self, sha256: str) -> bytes:
        data = self._cache.read(sha256) if self._cache else None
        if data is None:
            data = self._checked(sha256, self._fetch(sha256))
            if self._cache:
                self._cache.add(sha256, data)
        return data

    def fault(self, sha256: str) -> Fault | None:
        digest, position = hashlib.sha256(), 0
        with self._reported("read"):
            stored = self._entry(sha256)
            if stored is None:
                return "missing"
            files = _file_system(self._scheme, os.getpid())
            while position < stored.size:
                part = files.cat_file(self._key(sha256), start=position, end=position + _PART_BYTES)
                if not part:
                    break
                digest.update(part)
                position += len(part)
        return None if digest.hexdigest() == sha256 else "damaged"

    def map(self, function: Callable[[str], Result], hashes: Iterable[str]) -> Iterator[Result]:
        with ThreadPoolExecutor(_CONNECTIONS // 2) as pool:
            yield from pool.map(function, hashes)

    def size(self, sha256: str) -> int | None:
        with self._reported("read"):
            stored = self._entry(sha256)
        return stored.size if stored else None

    def discard(self, sha256: str) -> bool:
        if self._cache:
            self._cache.discard(sha256)
        with self._reported("remove a file of"):
            if self._entry(sha256) is None:
                return False
            _file_system(self._scheme, os.getpid()).rm_file(self._key(sha256))
        return True

    def shards(self) -> Collection[str]:
        with self._reported("read"):
            try:
                names = _file_system(self._scheme, os.getpid()).ls(self._root, detail=False)
            except FileNotFoundError as error:
                if _error_code(error) == "NoSuchBucket":
                    raise
                return ()
        return {name.rstrip("/").rpartition("/")[2] for name in names}

    def files(self, shard: str) -> Iterator[StoredFile]:
        with self._reported("read"):
            files = _file_system(self._scheme, os.getpid()).find(f"{self._root}/{shard}", detail=True)
        for key in sorted(files):
            yield _stored_file(files[key])

    def path(self, sha256: str) -> Path:
        if self._cache is None or self._cache.max_bytes == 0:
            raise UsageError("A photograph of an object store has no path without a cache; raise [store] cache_mb.")
        self.read(sha256)
        path = self._cache.path(sha256)
        if not path.is_file():
            raise UsageError(f"The photograph {sha256} does not fit into the cache; raise [store] cache_mb.")
        return path

    def location(self, sha256: str) -> str:
        return f"{self.url}/{relative_path(sha256)}"

    def _key(self, sha256: str) -> str:
        return f"{self._root}/{relative_path(sha256)}"

    def _fetch(self, sha256: str) -> bytes:
        with self._reported("read"):
            stored = self._entry(sha256)
            if stored and stored.size <= MAX_BYTES:
                try:
                    return _read(self._scheme, self._key(sha256), stored.size)
                except FileNotFoundError:  # deleted meanwhile
                    stored = None
        if stored:
            raise self._error(sha256, "it is too large", "damaged")
        raise self._error(sha256, "No such file or directory", "missing")

    def _entry(self, sha256: str) -> StoredFile | None:
        """Return what is known about a photograph; None if it is missing."""
        try:
            info = _file_system(self._scheme, os.getpid()).info(self._key(sha256))
        except FileNotFoundError as error:
            if _error_code(error) == "NoSuchBucket":
                raise
            return None
        return _stored_file(info) if info["type"] == "file" else None

    @contextmanager
    def _reported(self, action: str) -> Iterator[None]:
        """Report errors of the object storage in a sentence."""
        try:
            yield
        except _errors(self._scheme) as error:
            raise StoreError(f"Cannot {action} the photo store {self}: {self._reason(error)}.") from error

    def _reason(self, error: BaseException) -> str:
        name, code = type(error).__name__, _error_code(error)
        if name in _REASONS:
            return _REASONS[name]
        if isinstance(error, PermissionError) or code in _DENIED:
            return "access is denied; check the credentials and their permissions"
        if isinstance(error, FileNotFoundError):
            return f"the bucket {self._root.partition('/')[0]} does not exist"
        if name in _INVALID_SETTINGS:
            return f"the settings of the AWS command line are invalid ({str(error).rstrip('.')})"
        if "Connect" in name or isinstance(error, TimeoutError):
            return "its endpoint cannot be reached; check the network and AWS_ENDPOINT_URL"
        return f"the service failed ({code or name})"


def _read(scheme: str, key: str, size: int) -> bytes:
    files = _file_system(scheme, os.getpid())
    ranges = [(start, min(start + _PART_BYTES, size)) for start in range(0, size, _PART_BYTES)]
    return b"".join(files.cat_file(key, start=start, end=end) for start, end in ranges)


def _stored_file(info: dict[str, Any]) -> StoredFile:
    modified = info.get("LastModified") or info["created"]  # of S3 and of memory
    if isinstance(modified, float):
        modified = datetime.fromtimestamp(modified, UTC)
    return StoredFile(info["name"].rpartition("/")[2], info["size"], modified)


@lru_cache(maxsize=4)
def _file_system(scheme: str, _process: int) -> Any:
    """Return the file system of a process: a child process cannot use the connections of its parent."""
    with require_extra("s3", "fsspec"):
        import fsspec
    if scheme == "memory":
        return fsspec.filesystem("memory")
    with require_extra("s3", "s3fs"):
        import s3fs
    return s3fs.S3FileSystem(
        skip_instance_cache=True, use_listings_cache=False, config_kwargs={"max_pool_connections": _CONNECTIONS}
    )


def _errors(scheme: str) -> tuple[type[Exception], ...]:
    """Return the exceptions of object storage."""
    if scheme == "memory":
        return (OSError,)
    from aiohttp import ClientError as ConnectionFailed
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, ClientError, BotoCoreError, ConnectionFailed, ValueError)  # botocore refuses an endpoint with it


def _error_code(error: BaseException) -> str:
    """Return the code of an S3 error, such as ``NoSuchBucket``; empty if there is none."""
    for item in (error, error.__cause__):
        response = getattr(item, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""
