"""Manifests of data sets: their columns, and the check of one that somebody else made."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightmeter.errors import UsageError
from lightmeter.files import open_regular
from lightmeter.images.formats import SUFFIXES
from lightmeter.images.geometry import Box
from lightmeter.store.base import MAX_BYTES
from lightmeter.text.numbers import counted

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CROP_COLUMNS = ("crop_x", "crop_y", "crop_width", "crop_height")

MANIFEST_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("sha256", "path", "split", "group", "source", "owner", "licence", "format")),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("file_size", pa.int64()),
        *((name, pa.string()) for name in ("quantisation", "make", "model", "body")),
        ("phash", pa.uint64()),
        *(
            (name, pa.float64())
            for name in ("f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm")
        ),
        ("flash_fired", pa.bool_()),
        ("taken_at", pa.string()),
        *((name, pa.int32()) for name in CROP_COLUMNS),
    ]
)
"""All columns of a manifest except those of its targets; rows are in the order of ``sha256``.

``path`` is relative to the photo store. ``body`` is the hash of the camera body's serial number with the salt of the
project, ``phash`` the perceptual hash: by them several data sets are compared. The crop columns are in file pixels,
null for whole photographs.
"""

_COMPLETE = ("sha256", "path", "split", "group", "format", "width", "height")
_MAX_ROWS = 100_000_000
_MAX_BYTES = 16 * 2**30
_MAX_RATIO = 100  # about 6 in data sets of photographs, whose hashes cannot be compressed
_FREE_BYTES = 10_000_000  # of small manifests, whatever their ratio
_MAX_SIDE = 1_000_000
_MAX_TEXT_LENGTH = 2000
_MIN_EXIF, _MAX_NUMBER = 1e-9, 1e9


def to_file_types(manifest: pa.Table) -> pa.Table:
    """Return a manifest with the columns and types of the file.

    In memory, where the manifest of ten million photographs would need 4 GB, a new one has no column ``path``, which
    follows from ``sha256``; texts that recur are dictionaries, and crop columns without crops have the type null.
    """
    if "path" not in manifest.column_names:
        manifest = manifest.add_column(1, "path", _paths(manifest["sha256"]))
    types = {field.name: field.type for field in MANIFEST_SCHEMA}
    return manifest.cast(pa.schema([(field.name, types.get(field.name, field.type)) for field in manifest.schema]))


def _paths(hashes: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(pc.utf8_slice_codeunits(hashes, 0, 2), hashes, "/")


def label_column(target: str) -> str:
    """Return the manifest column with the classes of a target."""
    return f"label_{target}"


def stops_column(target: str) -> str:
    """Return the manifest column with the numbers of a target."""
    return f"stops_{target}"


def crop_of(row: Mapping[str, Any]) -> Box | None:
    """Return the crop of a manifest row in file pixels, or None for the whole photograph."""
    return None if row["crop_x"] is None else Box(*(row[name] for name in CROP_COLUMNS))


def read_table(file: Path, sha256: str | None = None) -> pa.Table:
    """Read a Parquet file of bounded size. Texts are decoded once for each value until their size is known.

    Args:
        file: The file.
        sha256: Its SHA-256; the bytes that are hashed are those that are read (default: any).

    Raises:
        UsageError: The file has another hash, is no Parquet file, or is too large.
    """
    try:
        with open_regular(file) as data:
            if hashlib.file_digest(data, "sha256").hexdigest() != sha256 and sha256 is not None:
                raise UsageError(f"{file} does not have the SHA-256 in dataset.toml. Create the data set again.")
            return _read_table(file, data)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{file} is damaged: {reason}.") from error


def _read_table(file: Path, data: BufferedReader) -> pa.Table:
    limit = min(_MAX_BYTES, max(_FREE_BYTES, _MAX_RATIO * data.tell()))  # the whole file has been read
    data.seek(0)
    metadata = pq.read_metadata(data)
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    if metadata.num_rows > _MAX_ROWS or max(size, metadata.num_rows * metadata.num_columns) > limit:
        raise UsageError(f"{file} has {metadata.num_rows} rows in {size} bytes, too many to read.")
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    table = pq.ParquetFile(data, read_dictionary=texts).read()
    table.validate(full=True)  # texts are UTF-8
    if sum(_decoded_bytes(chunk) for column in table.columns for chunk in column.chunks) > limit:
        raise UsageError(f"{file} is too large when it is unpacked.")
    return table.cast(pa.schema([pa.field(field.name, _decoded_type(field.type)) for field in table.schema]))


def _decoded_bytes(values: pa.Array) -> int:
    """Return the size of an array without its dictionary."""
    if pa.types.is_list(values.type):
        return int(values.nbytes) + _decoded_bytes(values.flatten())
    if pa.types.is_dictionary(values.type):
        lengths = pc.binary_length(values.dictionary).take(values.indices)
        return int(values.indices.nbytes) + (pc.sum(lengths.cast(pa.int64())).as_py() or 0)
    return int(values.nbytes)


def _decoded_type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_list(type_):
        return pa.list_(_decoded_type(type_.value_type))
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def manifest_problem(manifest: pa.Table, targets: Sequence[Any]) -> str | None:
    """Return what is wrong with a manifest, or None.

    Args:
        manifest: Content of ``manifest.parquet``.
        targets: Targets of the data set; see `lightmeter.labels.datasets.dataset.TargetSpec`.
    """
    columns = _column_problem(manifest, targets)
    return columns or next(_value_problems(manifest, targets), None)


def _column_problem(manifest: pa.Table, targets: Sequence[Any]) -> str | None:
    schema, types = manifest.schema, {field.name: field.type for field in MANIFEST_SCHEMA}
    for target in targets:
        types[label_column(target.name)] = pa.list_(pa.string()) if target.multilabel else pa.string()
        if stops_column(target.name) in schema.names:
            types[stops_column(target.name)] = pa.float64()
    if len({*schema.names}) < len(schema.names):
        return "two columns have the same name"
    for name, type_ in types.items():
        if name not in schema.names:
            return f"the column {name} is missing"
        if schema.field(name).type != type_:
            return f"the column {name} has the type {schema.field(name).type} instead of {type_}"
    unknown = next((name for name in schema.names if name not in types), None)
    return None if unknown is None else f"the column {unknown[:80]!r} is unknown"


def _value_problems(manifest: pa.Table, targets: Sequence[Any]) -> Iterator[str]:
    """Yield a phrase for each kind of value that is not allowed."""
    if not manifest.num_rows:
        yield "it has no rows"
    for name in _COMPLETE:
        if manifest[name].null_count:
            yield f"{name} is empty in {counted(manifest[name].null_count, 'row')}"
    for name, valid in (_checks(manifest) | _target_checks(manifest, targets)).items():
        wrong = pc.invert(pc.fill_null(valid, fill_value=True))
        if pc.any(wrong).as_py():
            yield f"{name} has a value that is not allowed{_example(manifest, name, wrong)}"
    labels = [manifest[label_column(target.name)] for target in targets]
    if pc.any(reduce(pc.and_, (pc.is_null(column) for column in labels))).as_py():
        yield "a row has no label"
    yield from _crop_problems(manifest)
    keys = manifest.select(["sha256", *CROP_COLUMNS])
    if keys.group_by(keys.column_names).aggregate([]).num_rows < manifest.num_rows:
        yield "a photograph or crop has two rows"


def _checks(manifest: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return which values are allowed, by column; null values are checked elsewhere."""
    hashes = manifest["sha256"]
    checks = {
        "sha256": pc.match_substring_regex(hashes, r"\A[0-9a-f]{64}\z"),
        "path": pc.equal(manifest["path"], _paths(hashes)),
        "split": pc.is_in(manifest["split"], pa.array(SPLITS)),
        "format": _is_in(manifest["format"], list(SUFFIXES)),
        "file_size": _between(manifest["file_size"], 0, MAX_BYTES),
        **{name: _between(manifest[name], 1, _MAX_SIDE) for name in ("width", "height")},
        **{name: _between(manifest[name], 0, _MAX_SIDE) for name in CROP_COLUMNS},
    }
    for field in MANIFEST_SCHEMA:
        if pa.types.is_floating(field.type):
            checks[field.name] = _between(manifest[field.name], _MIN_EXIF, _MAX_NUMBER)
        elif pa.types.is_string(field.type) and field.name not in checks:
            checks[field.name] = pc.less_equal(pc.utf8_length(manifest[field.name]), _MAX_TEXT_LENGTH)
    return checks


def _target_checks(manifest: pa.Table, targets: Sequence[Any]) -> dict[str, pa.ChunkedArray]:
    checks = {}
    for target in targets:
        name, stops = label_column(target.name), stops_column(target.name)
        labels = pc.list_flatten(manifest[name]) if target.multilabel else manifest[name]
        checks[name] = _is_in(labels, list(target.classes))
        if stops in manifest.column_names:
            checks[stops] = _between(manifest[stops], -_MAX_NUMBER, _MAX_NUMBER)
    return checks


def _between(values: pa.ChunkedArray, low: float, high: float) -> pa.ChunkedArray:
    """Return which values are in a range; NaN is in none."""
    return pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))


def _is_in(values: pa.ChunkedArray, allowed: list[str]) -> pa.ChunkedArray:
    return pc.or_(pc.is_null(values), pc.is_in(values, pa.array(allowed, pa.string())))


def _example(manifest: pa.Table, name: str, wrong: pa.ChunkedArray) -> str:
    if len(wrong) != manifest.num_rows:  # flattened lists
        return ""
    return f" ({str(manifest[name].filter(wrong)[0].as_py())[:80]!r})"


def _crop_problems(manifest: pa.Table) -> Iterator[str]:
    missing = [manifest[name].is_null() for name in CROP_COLUMNS]
    if any(not other.equals(missing[0]) for other in missing[1:]):
        yield "a crop is incomplete"
    x, y, width, height = (manifest[name].cast(pa.int64()) for name in CROP_COLUMNS)
    empty = pc.or_(pc.less(width, 1), pc.less(height, 1))
    outside = pc.or_(
        pc.greater(pc.add(x, width), manifest["width"].cast(pa.int64())),
        pc.greater(pc.add(y, height), manifest["height"].cast(pa.int64())),
    )
    for phrase, mask in (("a crop is empty", empty), ("a crop exceeds its photograph", outside)):
        if pc.any(mask).as_py():
            yield phrase
