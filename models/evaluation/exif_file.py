"""EXIF that is told beside photographs, in a JSON file as ExifTool writes it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.models.runtime.exif_features import Tags

_FILE = "SourceFile"


def told_of(file: Path | None, photographs: Sequence[Path]) -> list[Tags | None]:
    """Return the tags that a file tells of each photograph, or None where it tells none.

    Args:
        file: one JSON object with tags of all photographs, or a list of objects whose ``SourceFile`` says which
            photograph each is of (``exiftool -n -json``); None if there is no such file.
        photographs: their paths.

    Raises:
        UsageError: if the file cannot be read or holds something else.
    """
    if file is None:
        return [None] * len(photographs)
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"The EXIF file {file} cannot be read ({error}).") from error
    if isinstance(told, dict):
        return [told] * len(photographs)
    by_path = _by_path(file, told)
    return [by_path.get(photograph.absolute()) for photograph in photographs]


def _by_path(file: Path, told: Any) -> dict[Path, Tags]:
    if not isinstance(told, list) or not all(isinstance(tags, dict) and _FILE in tags for tags in told):
        raise UsageError(
            f"The EXIF file {file} must hold an object of tags, or a list of objects with a {_FILE} each, as "
            "'exiftool -n -json' writes it."
        )
    return {Path(str(tags[_FILE])).absolute(): tags for tags in told}
