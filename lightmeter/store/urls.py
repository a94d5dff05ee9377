"""Store URLs: ``file:FOLDER``, ``s3://BUCKET/PREFIX`` and, in tests, ``memory://NAME``."""

import re
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path

from lightmeter.store.base import PhotoStore
from lightmeter.store.cache import ReadCache
from lightmeter.store.local import LocalStore
from lightmeter.store.objects import ObjectStore

_OBJECTS = re.compile(r"(s3|memory)://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9!_.'()-]+)*)/?")
_FILE = re.compile(r"file:(?://(?=/))?([^\0\n]+)")
_FORMS = "use file:FOLDER or s3://BUCKET/PREFIX, without user name and password"
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A valid store URL.

    Attributes:
        scheme: ``file``, ``s3`` or ``memory``.
        root: Folder, or bucket and prefix.
    """

    scheme: str
    root: str

    @classmethod
    def parse(cls, text: str) -> "StoreUrl":
        """Return the store that a text names.

        Raises:
            ValueError: It is no store URL; the message never repeats it, as it can hold a password.
        """
        file, objects = _FILE.fullmatch(text), _OBJECTS.fullmatch(text)
        if file and not file[1].startswith("//"):
            return cls("file", file[1])
        if objects and not {".", ".."} & {*objects[2].split("/")}:
            return cls(objects[1], objects[2])
        raise ValueError(f"this is no store URL; {_FORMS}")

    def __str__(self) -> str:
        return f"file:{self.root}" if self.scheme == "file" else f"{self.scheme}://{self.root}"

    def open(self, base: Path, cache: Path, cache_mb: int) -> PhotoStore:
        """Return the store.

        Args:
            base: Folder that relative paths start from.
            cache: Folder of the local cache of an object store.
            cache_mb: Maximum size of that cache; 0 for none.
        """
        if self.scheme == "file":
            return LocalStore(base / self.root)
        return ObjectStore(self.scheme, self.root, ReadCache(cache, cache_mb * _MEGABYTE) if cache_mb else None)

    def seen_from(self, base: Path, folder: Path, *, relative: bool) -> "StoreUrl":
        """Return the URL by which another folder names the same store.

        Args:
            base: Folder that a relative path starts from.
            folder: Folder that the new path starts from.
            relative: Whether the new path is relative.
        """
        if self.scheme != "file":
            return self
        root = (base / self.root).resolve()
        return StoreUrl("file", Path(relpath(root, folder.resolve())).as_posix() if relative else str(root))
