"""Gathering what a data set is made of: photographs that have a label, their labels, and whom they belong with."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from lightmeter.harvest.catalogue.models import Label
from lightmeter.labels.annotations import model as statements
from lightmeter.labels.annotations.photo_facts import IdRange, id_ranges
from lightmeter.labels.datasets.crops import Crop, cropped
from lightmeter.labels.datasets.dataset import CROP_COLUMNS, MANIFEST_COLUMNS, label_column, stops_column
from lightmeter.labels.datasets.photographs import SCHEMA, WORD, aligned, beside, photographs
from lightmeter.labels.targets.base import Target, split_classes


@dataclass
class LabelledPhotos:
    """Labelled photographs as columns.

    Attributes:
        table: in the order of the photographs' hashes, a row for each photograph (or crop): the columns of
            `lightmeter.labels.datasets.photographs`, those of the crop, and for each target its label as the
            catalogue has it and its
            number, null where there is none.
        origins: for each target the labels by origin.
        strange: for each target the labels that name a class its definition does not have; they are left out.
        outdated: for each target the rule labels of another version of its definition.
        without_crop: labelled photographs without the part that was asked for.
    """

    targets: Sequence[Target[Any]]
    table: pa.Table = field(init=False)
    origins: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    strange: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    outdated: Counter[str] = field(default_factory=Counter)
    without_crop: int = 0

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> list[Any]:
        """Return a column as Python's own values."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    def labels(self, target: Target[Any]) -> list[str | None]:
        """Return the label of each photograph."""
        return self.column(label_column(target.name))

    def known(self, said: pa.Table, target: Target[Any]) -> pa.Table:
        """Return the labels whose classes a target has, and count where they come from and what the others are."""
        words = pc.unique(said["value"]).to_pylist()
        good = [word for word in words if not target.classes or {*split_classes(word)} <= {*target.classes}]
        fine = pc.is_in(said["value"], pa.array(good, pa.string()))
        self.strange[target.name].update(_count(said.filter(pc.invert(fine))["value"]))
        said = said.filter(fine)
        self.origins[target.name].update(_count(said["origin"]))
        ruled = said.filter(pc.equal(said["origin"], "rule"))
        self.outdated[target.name] += ruled.num_rows - _count(ruled["version"]).get(target.version, 0)
        return said


def _count(words: pa.ChunkedArray) -> dict[str, int]:
    return {found["values"]: found["counts"] for found in words.value_counts().to_pylist()}


def collect(
    connection: Connection,
    targets: Sequence[Target[Any]],
    where: str = "",
    crop: Crop | None = None,
    advance: Callable[[int], object] = lambda _: None,
) -> LabelledPhotos:
    """Read every photograph that has a label of one of the targets; damaged ones stay out.

    Args:
        connection: to the catalogue.
        targets: of the data set.
        where: a query that chooses photographs; empty for all.
        crop: the parts that are meant instead of whole photographs.
        advance: told how many photographs were looked at.
    """
    gathered = LabelledPhotos(targets)
    parts = [_schema(targets).empty_table()]
    for span in id_ranges(connection, where):
        photographs_with_labels = _labelled(connection, span, gathered)
        if crop is None:
            parts.append(photographs_with_labels)
        else:
            crops, without = cropped(connection, span, photographs_with_labels, crop)
            gathered.without_crop += without
            parts.append(crops)
        advance(len(span.ids))
    gathered.table = _merge(parts)
    return gathered


def _merge(parts: list[pa.Table]) -> pa.Table:
    """Return one table in the order of the hashes; the parts go, so that there are two copies at most."""
    table = pa.concat_tables(parts, promote_options="default")
    parts.clear()
    table = table.unify_dictionaries().combine_chunks()
    return table.take(pc.sort_indices(table["sha256"]))  # crops of one photograph stay in their order


def _schema(targets: Sequence[Target[Any]]) -> pa.Schema:
    labels = [
        field
        for target in targets
        for field in ((label_column(target.name), WORD), (stops_column(target.name), pa.float64()))
    ]
    return pa.schema([*SCHEMA, *labels, *map(MANIFEST_COLUMNS.field, CROP_COLUMNS)])


def _labelled(connection: Connection, span: IdRange, gathered: LabelledPhotos) -> pa.Table:
    """Return the photographs of a span that have a label, with their labels."""
    found = photographs(connection, span)
    ids = found["image_id"].to_numpy()
    said = statements.effective_annotations(
        connection, span.covers(Label.image_id), [one.name for one in gathered.targets]
    )
    said = said.filter(pc.is_in(said["image_id"], pa.array(ids)))
    has = np.zeros(len(ids), dtype=bool)
    for target in gathered.targets:
        known = gathered.known(said.filter(pc.equal(said["target"], target.name)), target)
        labels = aligned(known.select(["image_id", "value", "number"]), ids)
        words = labels["value"].dictionary_encode()
        has |= words.is_valid().to_numpy()
        names = [label_column(target.name), stops_column(target.name)]
        found = beside(found, pa.table([words, labels["number"]], names=names))
    return found.filter(pa.array(has))
