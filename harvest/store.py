"""The photo store: original bytes, addressed by their SHA-256."""

import os
import shutil
import tempfile
from pathlib import Path


def path_of(root: Path, sha256: str) -> Path:
    """Return the path of a photograph, whether it exists or not."""
    return root / sha256[:2] / sha256


class PhotoStore:
    """Content-addressed files in one directory.

    Files are written to a temporary path and renamed atomically, so a kill never leaves a partial file in the store.

    Args:
        root: Directory of the store.
        temporary: Directory for temporary files; one inside the store is used if it is on another file system.
    """

    def __init__(self, root: Path, temporary: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        temporary.mkdir(parents=True, exist_ok=True)
        self._temporary = temporary if temporary.stat().st_dev == root.stat().st_dev else root / ".incoming"

    def remove_partial_files(self) -> None:
        """Remove temporary files of a killed process; call this only while nothing else writes."""
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True, exist_ok=True)

    def put(self, sha256: str, data: bytes) -> Path:
        """Store bytes under their hash, unless they are stored already."""
        target = path_of(self.root, sha256)
        if target.exists():
            return target
        target.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._temporary)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o444)
        Path(name).replace(target)
        return target
