"""Manifests of data sets: their columns, and the check of one that somebody else made."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightmeter.errors import UsageError
from lightmeter.files import open_regular
from lightmeter.images.formats import SUFFIXES
from lightmeter.images.geometry import Box

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CROP_COLUMNS = ("crop_x", "crop_y", "crop_width", "crop_height")

MANIFEST_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("sha256", "path", "split", "group", "source", "owner", "licence", "format")),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("file_size", pa.int64()),
        *((name, pa.string()) for name in ("quantisation", "make", "model")),
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

``path`` is relative to the photo store. The crop columns are in file pixels, null for whole photographs.
"""

_KINDS = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
_COMPLETE = ("sha256", "path", "split", "group", "format", "width", "height")
_NUMBERS = ("width", "height", *CROP_COLUMNS)
_MAX_ROWS = 100_000_000
_MAX_BYTES = 16 * 2**30
_MAX_SIDE = 1_000_000


def label_column(target: str) -> str:
    """Return the manifest column with the classes of a target."""
    return f"label_{target}"


def stops_column(target: str) -> str:
    """Return the manifest column with the numbers of a target."""
    return f"stops_{target}"


def crop_of(row: Mapping[str, Any]) -> Box | None:
    """Return the crop of a manifest row in file pixels, or None for the whole photograph."""
    return None if row["crop_x"] is None else Box(*(row[name] for name in CROP_COLUMNS))


def read_manifest(file: Path) -> pa.Table:
    """Read a manifest of bounded size.

    Raises:
        UsageError: The file is not a Parquet file, or too large.
    """
    try:
        with open_regular(file) as data:
            metadata = pq.read_metadata(data)
            size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
            if metadata.num_rows > _MAX_ROWS or size > _MAX_BYTES:
                raise UsageError(f"{file} has {metadata.num_rows} rows in {size} bytes, too many to read.")
            return pq.read_table(data)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{file} is damaged: {error}.") from error


def manifest_problem(manifest: pa.Table, targets: Sequence[Any]) -> str | None:
    """Return what is wrong with a manifest, or None.

    Args:
        manifest: Content of ``manifest.parquet``.
        targets: Targets of the data set; see `lightmeter.labels.datasets.dataset.TargetSpec`.
    """
    columns = _column_problem(manifest, targets)
    return columns or next(_value_problems(manifest, targets), None)


def _column_problem(manifest: pa.Table, targets: Sequence[Any]) -> str | None:
    schema = manifest.schema
    types = {field.name: next(kind for kind in _KINDS if kind(field.type)) for field in MANIFEST_SCHEMA}
    for target in targets:
        types[label_column(target.name)] = _is_list_of_strings if target.multilabel else pa.types.is_string
        if stops_column(target.name) in schema.names:
            types[stops_column(target.name)] = pa.types.is_floating
    if len({*schema.names}) < len(schema.names):
        return "two columns have the same name"
    for name, is_right in types.items():
        if name not in schema.names:
            return f"the column {name} is missing"
        if not is_right(schema.field(name).type):
            return f"the column {name} has the type {schema.field(name).type}"
    for field in schema:
        if field.name not in types and not pa.types.is_primitive(field.type) and not pa.types.is_string(field.type):
            return f"the column {field.name} has the type {field.type}"
    return None


def _is_list_of_strings(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) and pa.types.is_string(type_.value_type))


def _value_problems(manifest: pa.Table, targets: Sequence[Any]) -> Iterator[str]:
    """Yield a phrase for each kind of value that is not allowed."""
    for name in _COMPLETE:
        if manifest[name].null_count:
            yield f"{name} is empty in {manifest[name].null_count} rows"
    hashes = manifest["sha256"]
    paths = pc.binary_join_element_wise(pc.utf8_slice_codeunits(hashes, 0, 2), hashes, "/")
    checks = {
        "sha256": pc.match_substring_regex(hashes, "^[0-9a-f]{64}$"),
        "path": pc.equal(manifest["path"], paths),
        "split": pc.is_in(manifest["split"], pa.array(SPLITS)),
        "format": _is_in(manifest["format"], list(SUFFIXES)),
    }
    for target in targets:
        name = label_column(target.name)
        labels = pc.list_flatten(manifest[name]) if target.multilabel else manifest[name]
        checks[name] = _is_in(labels, list(target.classes))
        if stops_column(target.name) in manifest.column_names:
            checks[stops_column(target.name)] = pc.is_finite(manifest[stops_column(target.name)])
    for name in (field.name for field in MANIFEST_SCHEMA if pa.types.is_floating(field.type)):
        checks[name] = pc.is_finite(manifest[name])
    checks["file_size"] = pc.greater_equal(manifest["file_size"], 0)
    for name in _NUMBERS:
        checks[name] = pc.and_(pc.greater_equal(manifest[name], 0), pc.less(manifest[name], _MAX_SIDE))
    for name, valid in checks.items():
        wrong = pc.invert(pc.fill_null(valid, fill_value=True))
        if pc.any(wrong).as_py():
            yield f"{name} has a value that is not allowed{_example(manifest, name, wrong)}"
    yield from _crop_problems(manifest)


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
