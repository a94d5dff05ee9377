"""Photo files: JSON with the ids, secrets and servers of photographs, ``{"concept,sub-concept": [{"id": …}, …]}``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.harvest.sources.json_text import parse_json

Photo = dict[str, Any]


def read_photos(file: Path) -> Iterator[tuple[tuple[str, ...], Photo]]:
    """Yield the concepts and the fields of each photograph in a file; a plain list has no concepts.

    Raises:
        UsageError: The file cannot be read or is not a list.
    """
    try:
        content = parse_json(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"The photo file {file} cannot be read: {error}.") from error
    photo_form = '{"id": …, "secret": …, "server": …}'
    invalid = UsageError(f'{file} must contain {{"concept": [{photo_form}, …], …}} or a list of such photographs.')
    groups = {"": content} if isinstance(content, list) else content
    if not isinstance(groups, dict):
        raise invalid
    for concepts, photos in groups.items():
        if not isinstance(photos, list):
            raise invalid
        for photo in photos:
            yield tuple(concept.strip() for concept in concepts.split(",") if concept.strip()), photo


class PhotoFile:
    """A photo file that is written page by page; photographs that it contains already are kept.

    Args:
        file: File to write.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._photos: dict[str, dict[str, Photo]] = {}
        for concepts, photo in read_photos(file) if file.exists() else ():
            if isinstance(photo, dict) and photo.get("id"):
                self.add(concepts, photo)

    def add(self, concepts: tuple[str, ...], photo: Photo) -> None:
        """Add a photograph."""
        fields = {key: str(photo[key]) for key in ("id", "secret", "server") if photo.get(key)}
        self._photos.setdefault(",".join(concepts), {})[fields["id"]] = fields

    def write(self) -> None:
        """Write the file atomically."""
        content = {concepts: list(photos.values()) for concepts, photos in self._photos.items()}
        write_atomic(self._file, json.dumps(content, indent=1).encode())
