"""The photo store: original bytes, addressed by their SHA-256."""

import shutil
from pathlib import Path

from lightmeter.errors import LightmeterError
from lightmeter.files import atomic_path, sha256_of
from lightmeter.processes import process_folder


class StoreError(LightmeterError):
    """The photo store cannot be written to, for example because the disk is full."""


def path_of(root: Path, sha256: str) -> Path:
    """Return the path of a photograph, whether it exists or not."""
    return root / sha256[:2] / sha256


class PhotoStore:
    """Content-addressed files in one directory.

    Files are written to a temporary path and moved atomically and durably, so neither a kill nor a power cut leaves a
    partial file. Each process has a folder of its own for temporary files; those of ended processes are removed.

    Args:
        root: Directory of the store.
        temporary: Directory for temporary files; one inside the store is used if it is on another file system.
    """

    def __init__(self, root: Path, temporary: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        temporary.mkdir(parents=True, exist_ok=True)
        same_file_system = temporary.stat().st_dev == root.stat().st_dev
        self._temporary = process_folder(temporary if same_file_system else root / ".incoming")

    def close(self) -> None:
        """Remove this process's folder for temporary files."""
        shutil.rmtree(self._temporary, ignore_errors=True)

    def put(self, sha256: str, data: bytes) -> bool:
        """Store bytes under their hash, unless they are stored already.

        Returns:
            Whether a damaged file was replaced.

        Raises:
            StoreError: The store cannot be written to.
        """
        target = path_of(self.root, sha256)
        try:
            exists = target.exists()
            if exists and target.stat().st_size == len(data) and sha256_of(target) == sha256:
                return False
            with atomic_path(target, self._temporary) as temporary:
                temporary.write_bytes(data)
            target.chmod(0o444)
        except OSError as error:
            raise StoreError(f"Cannot write to the photo store {self.root}: {error.strerror}.") from error
        return exists

    def discard(self, sha256: str) -> None:
        """Delete a photograph, if it is stored."""
        path_of(self.root, sha256).unlink(missing_ok=True)
