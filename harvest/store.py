"""The photo store: original bytes, named by their SHA-256, each file whole or not there."""

import os
import shutil
import tempfile
from pathlib import Path


def path_of(root: Path, sha256: str) -> Path:
    """Return where the bytes of a hash are, or would be."""
    return root / sha256[:2] / sha256


class PhotoStore:
    """Content-addressed files below one folder.

    Bytes are written aside and renamed into place, so a process killed at any moment leaves no partial file in the
    store; what it left aside is removed when the store is opened for writing next.

    Args:
        root: the store's folder.
        aside: where files are written first; a folder inside the store is used if this one is on another file system.
    """

    def __init__(self, root: Path, aside: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        aside.mkdir(parents=True, exist_ok=True)
        self._aside = aside if aside.stat().st_dev == root.stat().st_dev else root / ".incoming"

    def clear_aside(self) -> None:
        """Remove what a killed process left; only for the one process that writes."""
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True, exist_ok=True)

    def put(self, sha256: str, data: bytes) -> Path:
        """Keep bytes under their hash; bytes that are there already stay as they are."""
        target = path_of(self.root, sha256)
        if target.exists():
            return target
        target.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._aside)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o444)
        Path(name).replace(target)
        return target
