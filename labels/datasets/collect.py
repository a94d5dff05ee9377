"""Collect the labelled photographs of the catalogue."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, select

from lightmeter.harvest.catalogue.models import Image, Label
from lightmeter.labels.annotations.model import effective_annotations
from lightmeter.labels.annotations.photo_facts import IdRange, decodable, id_ranges
from lightmeter.labels.datasets.crops import Crop, join_crops
from lightmeter.labels.datasets.manifest import CROP_COLUMNS, label_column, stops_column
from lightmeter.labels.datasets.photographs import SCHEMA, TEXT, left_join, read_photographs
from lightmeter.labels.targets.base import Target


@dataclass
class LabelCounts:
    """Where the labels of a target come from.

    Attributes:
        origins: Number of valid labels by origin.
        unknown: Number of labels by value, of values that are no class of the target. They are excluded.
        outdated: Number of rule labels made by another version of the target.
    """

    origins: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    outdated: int = 0


@dataclass
class LabelledPhotos:
    """Photographs with a label of at least one target.

    Attributes:
        targets: Targets of the labels.
        table: One row per photograph or crop, in the order of ``sha256``, with the columns of
            `lightmeter.labels.datasets.photographs.SCHEMA`, the crop columns if there are crops, and two columns per
            target: the label as stored in the catalogue and its number.
        label_counts: Label counts by target name.
        uncropped: Number of labelled photographs without the requested crop. They are excluded.
    """

    targets: Sequence[Target[Any]]
    table: pa.Table
    label_counts: dict[str, LabelCounts]
    uncropped: int = 0

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> list[Any]:
        """Return the Python values of a column."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    def labels(self, target: Target[Any]) -> list[str | None]:
        """Return the stored label of each photograph."""
        return self.column(label_column(target.name))

    def valid_labels(self, annotations: pa.Table, target: Target[Any]) -> pa.Table:
        """Return the annotations of a target with valid classes, and count all of them."""
        annotations = annotations.filter(pc.equal(annotations["target"], target.name))
        values = pc.unique(annotations["value"]).to_pylist()
        valid = [value for value in values if target.has_classes(value)]
        mask = pc.is_in(annotations["value"], pa.array(valid, pa.string()))
        counts = self.label_counts[target.name]
        counts.unknown.update(annotations.filter(pc.invert(mask))["value"].to_pylist())
        annotations = annotations.filter(mask)
        counts.origins.update(_value_counts(annotations["origin"]))
        versions = _value_counts(annotations.filter(pc.equal(annotations["origin"], "rule"))["version"])
        counts.outdated += sum(versions.values()) - versions.get(target.version, 0)
        return annotations


def collect(
    connection: Connection,
    targets: Sequence[Target[Any]],
    where: str = "",
    crop: Crop | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
    *,
    kept: Collection[str] = (),
    known: Collection[str] = (),
) -> LabelledPhotos:
    """Read all readable photographs with a label of at least one target.

    Args:
        connection: Catalogue connection.
        targets: Targets of the data set.
        where: Query that selects photographs; empty for all.
        crop: Kind of crop to collect instead of whole photographs.
        on_progress: Called with the number of image ids read since the last call; see `last_image`.
        kept: SHA-256 of photographs that are selected whatever the query is.
        known: SHA-256 of photographs to read even without a label, because they hold groups together; those that are
            not selected get no label.
    """
    kept_hashes, hashes = pa.array(kept, pa.string()), pa.array({*kept, *known}, pa.string())
    fields = [*SCHEMA, *((name, pa.int32()) for name in CROP_COLUMNS if crop)]
    for target in targets:
        fields += [(label_column(target.name), TEXT), (stops_column(target.name), pa.float64())]
    tables = [pa.schema(fields).empty_table()]
    photographs = LabelledPhotos(targets, tables[0], {target.name: LabelCounts() for target in targets})
    last = 0
    for id_range in id_ranges(connection, "" if len(hashes) else where):
        table = read_photographs(connection, id_range)
        selected = table["image_id"]
        if len(hashes):
            query = select(Image.id).where(id_range.covers(Image.id), decodable(where))
            matching = pa.array(connection.scalars(query).all(), pa.int64())
            is_kept = pc.is_in(table["sha256"], kept_hashes)
            selected = selected.filter(pc.or_(is_kept, pc.is_in(selected, matching)))
        table = _join_labels(connection, id_range, photographs, table, selected)
        table = table.filter(pc.or_(has_label(table, targets), pc.is_in(table["sha256"], hashes)))
        if crop is not None:
            n_photographs = table.num_rows
            table = join_crops(connection, id_range, table, crop)
            photographs.uncropped += n_photographs - len(pc.unique(table["image_id"]))
        tables.append(table)
        on_progress(id_range.last - last)
        last = id_range.last
    photographs.table = _spell_alike(_concatenate(tables), targets)
    return photographs


def _spell_alike(table: pa.Table, targets: Sequence[Target[Any]]) -> pa.Table:
    """Return the photographs with one spelling of each class."""
    for target in targets:
        name = label_column(target.name)
        labels = table[name].combine_chunks()
        spellings = target.spellings(_value_counts(labels.drop_null().cast(pa.string())))
        values = pa.array([spellings.get(value) for value in labels.dictionary.to_pylist()], pa.string())
        spelled = values.take(labels.indices).dictionary_encode()
        table = table.set_column(table.column_names.index(name), name, spelled)
    return table


def _join_labels(
    connection: Connection, id_range: IdRange, photographs: LabelledPhotos, table: pa.Table, selected: pa.ChunkedArray
) -> pa.Table:
    """Return the photographs of a range with the labels of those that are selected, given by their ids."""
    names = [target.name for target in photographs.targets]
    annotations = effective_annotations(connection, id_range.covers(Label.image_id), names)
    annotations = annotations.filter(pc.is_in(annotations["image_id"], selected.combine_chunks()))
    for target in photographs.targets:
        labels = photographs.valid_labels(annotations, target)
        columns = [labels["image_id"], labels["value"].dictionary_encode(), labels["number"]]
        names = ["image_id", label_column(target.name), stops_column(target.name)]
        table = left_join(table, pa.table(columns, names=names))
    return table


def has_label(table: pa.Table, targets: Sequence[Target[Any]]) -> pa.ChunkedArray:
    """Return a mask of the photographs with a label of at least one target, shape (n_photographs,)."""
    return reduce(pc.or_, (pc.is_valid(table[label_column(target.name)]) for target in targets))


def _concatenate(tables: list[pa.Table]) -> pa.Table:
    """Return one table in the order of ``sha256``; empties the list, so that no more than one column exists twice."""
    table = pa.concat_tables(tables, promote_options="default")
    tables.clear()
    order = pc.sort_indices(table["sha256"])  # stable: crops of one photograph keep their order
    columns = {}
    for name in table.column_names:
        column, table = table.select([name]), table.drop_columns([name])
        column = column.unify_dictionaries().combine_chunks()
        columns[name] = column[name].take(order)
    pa.default_memory_pool().release_unused()
    return pa.table(columns)


def _value_counts(values: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    return {row["values"]: row["counts"] for row in values.value_counts().to_pylist()}
