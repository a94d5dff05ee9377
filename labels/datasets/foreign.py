"""Audit data sets of others for leaks between their splits: image folders, Hugging Face Parquet, tables of paths."""

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.json as arrow_json
import pyarrow.parquet as pq

from lightmeter.errors import UsageError
from lightmeter.files import open_regular
from lightmeter.harvest.catalogue.outcomes import camera_body_hash
from lightmeter.harvest.filters.pipeline import InspectionPlan, InspectionResult, inspect
from lightmeter.labels.datasets.manifest import Split
from lightmeter.labels.datasets.names import IMAGE_METADATA
from lightmeter.labels.datasets.splits.groups import GROUP_KEYS, group_keys
from lightmeter.labels.datasets.splits.published import SPLIT_NAMES
from lightmeter.labels.datasets.verify import LEAKS, Violation
from lightmeter.settings import Settings
from lightmeter.store.base import MAX_BYTES
from lightmeter.text.spreadsheets import read_header

_OWNERS = ("owner", "photographer", "author", "artist", "creator", "user", "username", "user_id")
_PATHS = ("path", "file", "file_name", "filename", "filepath", "image", "image_path")
_NO_IMAGES = frozenset({".csv", ".json", ".jsonl", ".md", ".txt", ".xml"})
_MAX_EXAMPLES = 3
_BATCH = 64
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("name", "split", "sha256", "owner", "body", "make", "model")]
    + [("owners", pa.list_(pa.string())), ("phash", pa.uint64())]
)


@dataclass(frozen=True)
class ForeignPhoto:
    """A photograph of a data set.

    Attributes:
        name: Path in the data set, for messages.
        split: Its split.
        data: Bytes of the image file.
        owner: Photographer, if the data set names one.
    """

    name: str
    split: Split
    data: bytes
    owner: str | None = None


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        photographs: Number of photographs by split.
        with_owner: Photographs whose photographer is known, from the data set or its EXIF.
        with_body: Photographs whose camera body is known.
        violations: What leaks or cannot be read.
    """

    photographs: Mapping[str, int]
    with_owner: int
    with_body: int
    violations: list[Violation]


def audit(path: Path, settings: Settings, on_progress: Callable[[int], object] = lambda _: None) -> Audit:
    """Search a data set for photographers, camera bodies and near-duplicates in several splits.

    Args:
        path: An image folder (``train/…/1.jpg``), a folder of Hugging Face Parquet files, or a CSV or TSV file with the
            columns ``path`` and ``split``.
        settings: Limits for each photograph.
        on_progress: Called with the number of photographs read since the last call.

    Raises:
        UsageError: The path is no such data set.
    """
    plan = replace(
        InspectionPlan.from_settings(settings, ["duplicates"]), keep_all_tags=True
    )  # Artist is not technical
    rows, unreadable = [], []
    for photo in read_photographs(path):
        result = inspect(photo.data, plan)
        if result.problem:
            unreadable.append(f"{photo.name}: {result.problem}")
        rows.append(_row(photo, result))
        on_progress(1)
    table = pa.Table.from_pylist(rows, _SCHEMA)
    splits = table["split"].to_pylist()
    violations = [Violation("unreadable photographs", len(unreadable), tuple(unreadable[:_MAX_EXAMPLES]))]
    codes = np.unique(table["sha256"].to_numpy(), return_inverse=True)[1].reshape(-1)
    keys = {"identical": (np.arange(len(rows)), codes), **group_keys(table, GROUP_KEYS)}
    for kind, (indices, values) in keys.items():
        leaks = list(_leaks(indices.tolist(), values.tolist(), splits, table["name"].to_pylist()))
        description = "identical files in several splits" if kind == "identical" else LEAKS[kind]
        violations.append(Violation(description, len(leaks), tuple(leaks[:_MAX_EXAMPLES])))
    return Audit(
        {name: splits.count(name) for name in dict.fromkeys(splits)},
        table.num_rows - table["owner"].null_count,
        table.num_rows - table["body"].null_count,
        [violation for violation in violations if violation.count],
    )


def _leaks(rows: list[int], keys: list[int], splits: list[str], names: list[str]) -> Iterator[str]:
    """Yield one photograph of each split for every key that is in several."""
    examples: dict[int, dict[str, str]] = {}
    for row, key in zip(rows, keys, strict=True):
        examples.setdefault(key, {}).setdefault(splits[row], names[row])
    for by_split in examples.values():
        if len(by_split) > 1:
            yield " and ".join(by_split.values())


def _row(photo: ForeignPhoto, result: InspectionResult) -> dict[str, Any]:
    values, measures = result.exif.values, result.results
    owner = photo.owner or _artist(result.exif.raw)
    phash = measures["duplicates"].measures["phash"] if "duplicates" in measures else None
    return {
        "name": photo.name.encode(errors="backslashreplace").decode(),  # names of files need not be UTF-8
        "split": photo.split,
        "sha256": hashlib.sha256(photo.data).hexdigest(),
        "owner": owner,
        "owners": [owner] if owner else [],
        "body": camera_body_hash("", values, result.exif.serial),
        "make": values.make,
        "model": values.model,
        "phash": int(str(phash), 16) if phash else None,
    }


def _artist(raw: Mapping[str, Mapping[str, object]]) -> str | None:
    """Return the photographer that EXIF or XMP names."""
    for tags in raw.values():
        for name, value in tags.items():
            if name.casefold() in {"artist", "creator"} and str(value).strip():
                return str(value).strip()
    return None


def read_photographs(path: Path) -> Iterator[ForeignPhoto]:
    """Yield the photographs of a data set; see `audit`.

    Raises:
        UsageError: The path is no such data set.
    """
    if path.is_file() and path.suffix.lower() in {".csv", ".tsv"}:
        yield from _read_table(path)
        return
    if not path.is_dir():
        raise UsageError(
            f"{path} is neither a data set, an image folder nor a table (.csv, .tsv) with paths and splits."
        )
    parquet = sorted(file for file in path.rglob("*.parquet") if file.is_file() and file.name != IMAGE_METADATA)
    photographs = _read_parquet(path, parquet) if parquet else _read_folder(path)
    first = next(photographs, None)
    if first is None:
        raise UsageError(
            f"{path} has no photographs in splits: neither folders named {', '.join(SPLIT_NAMES)}, nor Parquet files "
            "with these names and a column image."
        )
    yield first
    yield from photographs


def _split_of(name: PurePosixPath) -> Split | None:
    """Return the split that a part of a path names: ``val/1.jpg``, ``data/train-00000-of-00002.parquet``."""
    for part in name.parts:
        split = SPLIT_NAMES.get(part.casefold()) or SPLIT_NAMES.get(part.casefold().split("-")[0].split(".")[0])
        if split:
            return split
    return None


def _read_folder(folder: Path) -> Iterator[ForeignPhoto]:
    owners = {path: owner for file in folder.rglob("metadata.*") for path, owner in _owners(file)}
    for file in sorted(folder.rglob("*")):
        name = PurePosixPath(file.relative_to(folder).as_posix())
        split = _split_of(name.parent)
        is_hidden = any(part.startswith(".") for part in name.parts)
        if (
            split
            and not is_hidden
            and file.is_file()
            and file.suffix.lower() not in {".txt", ".json", ".jsonl", ".csv", ".parquet"}
        ):
            yield ForeignPhoto(str(name), split, _read(file), owners.get(file))


def _owners(file: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the photographers that a metadata file of Hugging Face's image folders names, by the path of the image.

    Raises:
        UsageError: The file cannot be read.
    """
    readers: dict[str, Callable[[Any], pa.Table]] = {
        ".csv": arrow_csv.read_csv, ".jsonl": arrow_json.read_json, ".parquet": pq.read_table
    }  # fmt: skip
    reader = readers.get(file.suffix.lower())
    if reader is None:
        return
    try:
        with open_regular(file) as data:
            table = reader(data)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    owner = next((column for column in _OWNERS if column in table.column_names), None)
    if owner and "file_name" in table.column_names:
        for row in table.select(["file_name", owner]).to_pylist():
            yield file.parent / str(row["file_name"]), _text(row[owner])


def _read_parquet(folder: Path, files: list[Path]) -> Iterator[ForeignPhoto]:
    for file in files:
        name = PurePosixPath(file.relative_to(folder).as_posix())
        split = _split_of(name)
        try:
            parquet = pq.ParquetFile(file)
            owner = next((column for column in _OWNERS if column in parquet.schema_arrow.names), None)
            if split is None or "image" not in parquet.schema_arrow.names:
                continue
            number = 0
            for batch in parquet.iter_batches(_BATCH, columns=["image", *([owner] if owner else [])]):
                for row in batch.to_pylist():
                    image = row["image"]
                    data = image.get("bytes") if isinstance(image, dict) else image
                    data = data if isinstance(data, bytes) else b""
                    yield ForeignPhoto(f"{name}[{number}]", split, data, _text(row.get(owner or "")))
                    number += 1
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UsageError(f"{file} cannot be read: {error}.") from error


def _read_table(file: Path) -> Iterator[ForeignPhoto]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            columns, delimiter, lines = read_header(text, {"split", *_PATHS, *_OWNERS})
            reader = csv.DictReader(text, columns, delimiter=delimiter)
            path = next((name for name in _PATHS if name in columns), None)
            owner = next((name for name in _OWNERS if name in columns), None)
            if path is None or "split" not in columns:
                raise UsageError(f"{file} needs the columns split and path (or {', '.join(_PATHS[1:])}).")
            for row in reader:
                split = SPLIT_NAMES.get((row["split"] or "").strip().casefold())
                if split is None:
                    raise UsageError(f"{file}, line {reader.line_num + lines}: '{row['split']}' is no split.")
                data = _read(file.parent / (row[path] or ""))
                yield ForeignPhoto(row[path] or "", split, data, _text(row[owner]) if owner else None)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from error


def _read(file: Path) -> bytes:
    """Return the bytes of a file; none of one that cannot be read, which the audit reports as unreadable."""
    try:
        with open_regular(file) as data:
            return data.read(MAX_BYTES)
    except (OSError, ValueError):  # a path with NUL
        return b""


def _text(value: object) -> str | None:
    return str(value).strip() or None if value is not None else None
