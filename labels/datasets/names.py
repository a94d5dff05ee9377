"""Names by which people know the photographs of a data set."""

import csv
import io
from collections.abc import Collection, Mapping
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
        hashes: SHA-256 of the photographs whose names are read (default: all).
    """

    def __init__(self, folder: Path, hashes: Collection[str] | None = None) -> None:
        self._names: Mapping[str, str] = {}
        try:
            with io.TextIOWrapper(open_regular(folder / ATTRIBUTION_FILE), "utf-8", newline="") as file:
                self._names = _read(file, hashes)
        except (OSError, ValueError, csv.Error):
            return

    def __getitem__(self, sha256: str) -> str:
        """Return the name of a photograph."""
        return self._names.get(sha256) or sha256[:_HASH_DIGITS]


def _read(file: io.TextIOWrapper, hashes: Collection[str] | None) -> dict[str, str]:
    """Return names by SHA-256; those of the first sighting come first."""
    names: dict[str, str] = {}
    for row in csv.DictReader(file):
        sha256, name = row.get("sha256") or "", row.get("file") or row.get("source_id")
        if name and (hashes is None or sha256 in hashes):
            names.setdefault(sha256, unquote_cell(name))
    return names
