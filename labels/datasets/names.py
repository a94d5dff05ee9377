"""Names by which people know the photographs of a data set."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from lightmeter.files import open_regular
from lightmeter.text.spreadsheets import unquote_cell

ATTRIBUTION_FILE = "ATTRIBUTION.csv"
"""Table of a data set with a row per sighting of a photograph."""

IMAGE_METADATA = "metadata.parquet"
"""File of an image folder that names the images of a split with their labels, for Hugging Face ``datasets``."""

_HASH_DIGITS = 12


class PhotoNames:
    """File name of each photograph, or its id at the source, or else the first digits of its SHA-256.

    Args:
        folder: Folder of a data set. Without its table of attributions, or with a damaged one, nothing is known.
    """

    def __init__(self, folder: Path) -> None:
        self._names: Mapping[str, str] = {}
        try:
            with io.TextIOWrapper(open_regular(folder / ATTRIBUTION_FILE), "utf-8", newline="") as file:
                self._names = _read(file)
        except (OSError, ValueError, csv.Error):
            return

    def __getitem__(self, sha256: str) -> str:
        """Return the name of a photograph."""
        return self._names.get(sha256) or sha256[:_HASH_DIGITS]


def _read(file: io.TextIOWrapper) -> dict[str, str]:
    """Return names by SHA-256; those of the first sighting come first."""
    names: dict[str, str] = {}
    for row in csv.DictReader(file):
        name = row.get("file") or row.get("source_id")
        if name:
            names.setdefault(row.get("sha256") or "", unquote_cell(name))
    return names
