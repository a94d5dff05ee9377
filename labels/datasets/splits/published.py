"""Splits that others can repeat: a table of photographs by source and id, without any photograph."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, select

from lightmeter.errors import UsageError
from lightmeter.files import open_regular, output_path, sha256_of
from lightmeter.harvest.catalogue.models import Image, SightingRecord
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.datasets.collect import LabelledPhotos
from lightmeter.labels.datasets.manifest import Split, label_column
from lightmeter.labels.datasets.splits.classes import class_rows, drop_other_classes, frequent_classes
from lightmeter.labels.datasets.splits.groups import add_groups
from lightmeter.labels.datasets.splits.split import SplitOptions, SplitResult, to_manifest
from lightmeter.labels.targets.base import SEPARATOR
from lightmeter.text.numbers import counted
from lightmeter.text.spreadsheets import quote_row, read_header, unquote_cell

COLUMNS = ("source", "source_id", "page_url", "split", "label", "sha256")
"""Columns of a published split of one target; with several, ``label_TARGET`` takes the place of ``label``."""

SPLIT_NAMES: Mapping[str, Split] = {name: name for name in get_args(Split)} | {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "testing": "test",
}
"""Splits by the names that data sets give them, in lower case."""

_CELLS = ("source", "source_id", "sha256", "split")
_MAX_LISTED = 5
_MAX_BYTES = 2 * 2**30


def write_ids(file: Path, connection: Connection, result: SplitResult) -> int:
    """Write a split as a table, one row per photograph in the order of its hash, and return the number of rows.

    Args:
        file: CSV file to write.
        connection: Catalogue connection.
        result: The split.
    """
    sightings = _first_sightings(connection, set(result.image_ids.tolist()))
    names = list(result.classes)
    labels = {"label" if len(names) == 1 else label_column(name): label_column(name) for name in names}
    columns = [name for column in COLUMNS for name in (labels if column == "label" else (column,))]
    previous, count = "", 0
    with output_path(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        for row, image_id in zip(result.manifest.to_pylist(), result.image_ids.tolist(), strict=True):
            if row["sha256"] == previous:  # another crop
                continue
            previous, count = row["sha256"], count + 1
            values = {name: _joined(row[column]) for name, column in labels.items()}
            facts = {"split": row["split"], "sha256": row["sha256"]}
            writer.writerow(quote_row({**sightings[image_id], **facts, **values}))
    return count


def _joined(label: str | list[str] | None) -> str | None:
    return SEPARATOR.join(label) if isinstance(label, list) else label


def _first_sightings(connection: Connection, image_ids: set[int]) -> dict[int, dict[str, Any]]:
    names = ("source", "source_id", "page_url")
    columns = [getattr(SightingRecord, name) for name in names]
    query = select(SightingRecord.image_id, *columns).order_by(SightingRecord.id.desc())
    rows: dict[int, dict[str, Any]] = {}
    for id_range in id_ranges(connection):
        for image_id, *values in connection.execute(query.where(id_range.covers(SightingRecord.image_id))):
            if image_id in image_ids:
                rows[image_id] = dict(zip(names, values, strict=True))
    return rows


@dataclass
class PublishedSplit:
    """A split that somebody has published, and what the catalogue has of it.

    Attributes:
        file: The table.
        splits: Split by SHA-256, for the photographs in the catalogue.
        unknown: Names of the photographs that the catalogue does not have, as ``SOURCE:ID`` or hash.
        advisories: What a user should know about the repeated split.
    """

    file: Path
    splits: dict[str, Split]
    unknown: list[str]
    advisories: list[str] = field(default_factory=list)

    @property
    def recorded(self) -> dict[str, str]:
        """Name and hash of the table, as recorded in a data set."""
        return {"file": self.file.name, "sha256": sha256_of(self.file)}

    def split(self, photographs: LabelledPhotos, options: SplitOptions) -> SplitResult:
        """Return photographs in their published splits; photographs that the table lacks are left out.

        Raises:
            UsageError: No photograph of the table has a label, or a target has fewer than two classes.
        """
        targets, table = photographs.targets, photographs.table
        table = table.filter(pc.is_in(table["sha256"], pa.array(self.splits, pa.string())))
        names = " ".join(target.name for target in targets)
        if not table.num_rows:
            raise UsageError(
                f"None of the {len(self.splits)} photographs of {self.file} in the catalogue has a label of {names}. "
                f"Harvest the photographs, then run 'lightmeter labels apply {names}'."
            )
        table = add_groups(table, options.group_by)
        every = {target.name: pc.unique(class_rows(table, target)["class"]).to_pylist() for target in targets}
        classes, _ = frequent_classes(table, targets, dict.fromkeys(every, 1), every)
        table = drop_other_classes(table, targets, classes)
        splits = pa.array([self.splits[sha256] for sha256 in table["sha256"].to_pylist()], pa.string())
        table = table.append_column("split", splits)
        self._advise(table)
        return SplitResult(
            to_manifest(table, targets),
            classes,
            table["image_id"].to_numpy(),
            groups=len(pc.unique(table["group"])),
            ungrouped=int(np.sum(~table["identified"].to_numpy())),
            rare_classes=[],
            undersampled=0,
        )

    def _advise(self, table: pa.Table) -> None:
        self.advisories.clear()
        unlabelled = len(self.splits) - len(pc.unique(table["sha256"]))
        if self.unknown:
            shown = ", ".join(self.unknown[:_MAX_LISTED]) + (", …" if len(self.unknown) > _MAX_LISTED else "")
            self.advisories.append(
                f"Not in the catalogue: {counted(len(self.unknown), 'photograph')} of {self.file.name} ({shown})."
            )
        if unlabelled:
            self.advisories.append(
                f"Left out: {counted(unlabelled, 'photograph')} of {self.file.name} without a label."
            )
        counts = table.group_by("group").aggregate([("split", "count_distinct")])["split_count_distinct"]
        divided = pc.sum(pc.greater(counts, 1)).as_py()
        if divided:
            self.advisories.append(
                f"Warning: The published split leaks: {divided} of {len(counts)} groups (same photographer, camera "
                "body or near-duplicates) are in several splits."
            )


def read_published(connection: Connection, file: Path) -> PublishedSplit:
    """Read a published split and find its photographs in the catalogue: by hash, else by source and id.

    Args:
        connection: Catalogue connection.
        file: Table with the columns ``split`` and ``sha256``, or ``source`` and ``source_id``.

    Raises:
        UsageError: The file is not such a table, or a photograph is in two splits.
    """
    rows = _read_rows(file)
    hashes = {row["sha256"] for row in rows if row["sha256"]}
    ids = {(row["source"], row["source_id"]) for row in rows if row["source_id"]}
    existing, by_id = _catalogued(connection, hashes, ids)
    splits: dict[str, Split] = {}
    unknown = []
    for number, row in enumerate(rows, 2):
        sha256 = row["sha256"] if row["sha256"] in existing else by_id.get((row["source"], row["source_id"]))
        if sha256 is None:
            unknown.append(f"{row['source']}:{row['source_id']}" if row["source_id"] else row["sha256"])
        elif splits.setdefault(sha256, SPLIT_NAMES[row["split"]]) != SPLIT_NAMES[row["split"]]:
            raise UsageError(f"{file}, row {number}: the photograph {sha256[:12]} is in two splits.")
    if not splits:
        raise UsageError(f"None of the {len(rows)} photographs of {file} is in the catalogue. Harvest them first.")
    return PublishedSplit(file, splits, unknown)


def _catalogued(
    connection: Connection, hashes: set[str], ids: set[tuple[str, str]]
) -> tuple[set[str], dict[tuple[str, str], str]]:
    """Return the hashes that the catalogue has, and the hash of each source and id."""
    query = select(SightingRecord.source, SightingRecord.source_id, Image.sha256)
    query = query.join(Image, Image.id == SightingRecord.image_id)
    existing, by_id = set[str](), dict[tuple[str, str], str]()
    for id_range in id_ranges(connection):
        for source, source_id, sha256 in connection.execute(query.where(id_range.covers(Image.id))):
            if sha256 in hashes:
                existing.add(sha256)
            if (source, source_id) in ids:
                by_id[source, source_id] = sha256
    return existing, by_id


def _read_rows(file: Path) -> list[dict[str, str]]:
    """Return the cells that name the photograph and its split, of each row."""
    try:
        with open_regular(file) as data:
            text = data.read(_MAX_BYTES).decode("utf-8-sig")
        table = io.StringIO(text, newline="")
        columns, delimiter, _ = read_header(table, COLUMNS)
        _check_columns(file, columns)
        reader = csv.DictReader(table, columns, delimiter=delimiter)
        rows = [{name: unquote_cell(row.get(name) or "").strip() for name in _CELLS} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is not a table of a split: {error}.") from error
    for number, row in enumerate(rows, 2):
        row["split"], row["sha256"] = row["split"].casefold(), row["sha256"].casefold()
        if row["split"] not in SPLIT_NAMES:
            raise UsageError(f"{file}, row {number}: '{row['split']}' is no split; write train, validation or test.")
        if not row["sha256"] and not row["source_id"]:
            raise UsageError(f"{file}, row {number}: the photograph has neither sha256 nor source_id.")
    return rows


def _check_columns(file: Path, columns: Iterable[str]) -> None:
    names = {*columns}
    if "split" not in names or not ("sha256" in names or {"source", "source_id"} <= names):
        raise UsageError(f"{file} needs the column split, and sha256 or source and source_id.")
