"""Files of photographs' ids, secrets and servers: ``{"concept,sub-concept": [{"id", "secret", "server"}]}``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic

Photo = dict[str, Any]


def read_photos(file: Path) -> Iterator[tuple[tuple[str, ...], Photo]]:
    """Yield each photograph of a file with its concepts. A plain list of photographs has none.

    Raises:
        UsageError: if the file is of another form.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"The file of photographs {file} cannot be read: {error}.") from error
    groups = {"": content} if isinstance(content, list) else content
    if not isinstance(groups, dict):
        raise UsageError(_wrong(file))
    for concepts, photos in groups.items():
        for photo in photos if isinstance(photos, list) else [None]:
            if not isinstance(photo, dict) or not photo.get("id"):
                raise UsageError(_wrong(file))
            yield tuple(word.strip() for word in concepts.split(",") if word.strip()), photo


class Saved:
    """Photographs on their way into such a file; what it holds already stays.

    Args:
        file: to write.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._photos: dict[str, dict[str, Photo]] = {}
        for concepts, photo in read_photos(file) if file.exists() else ():
            self.add(concepts, photo)

    def add(self, concepts: tuple[str, ...], photo: Photo) -> None:
        """Take a photograph in."""
        known = {key: str(photo[key]) for key in ("id", "secret", "server") if photo.get(key)}
        self._photos.setdefault(",".join(concepts), {})[known["id"]] = known

    def write(self) -> None:
        """Write the file, whole or not at all."""
        content = {concepts: list(photos.values()) for concepts, photos in self._photos.items()}
        write_atomic(self._file, json.dumps(content, indent=1).encode())


def _wrong(file: Path) -> str:
    return (
        f'{file} must hold {{"concept": [{{"id": …, "secret": …, "server": …}}, …], …}} or a list of such photographs.'
    )
