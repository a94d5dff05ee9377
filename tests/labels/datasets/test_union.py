"""Several data sets as one: what is refused, and what the union holds."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import MANIFEST_SCHEMA
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.labels.datasets.union import unite

MEDIUM = TargetSpec("medium", "1", ("film", "digital"))
SCHEMA = pa.schema([*MANIFEST_SCHEMA, ("label_medium", pa.string()), ("stops_medium", pa.float64())])
Row = tuple[str, str, str, str | None, str | None]
"""Photograph, split, group, owner, label."""


def dataset(name: str, rows: Sequence[Row], target: TargetSpec = MEDIUM, store: str = "file:../store") -> Dataset:
    keys = ("photo", "split", "group", "owner", "label_medium")
    records = [dict(zip(keys, row, strict=True)) for row in rows]
    for record in records:
        record["sha256"] = hashlib.sha256(str(record["photo"]).encode()).hexdigest()
    table = pa.Table.from_pylist(
        [{field: record.get(field) for field in SCHEMA.names} for record in records], schema=SCHEMA
    )
    split = {"group_by": ["photographer", "camera", "duplicates"]}
    return Dataset(Path("/datasets") / name, DatasetSpec(name, name, store, (target,), split), table)


FIRST: list[Row] = [
    ("a", "train", "g1", "Ann", "film"),
    ("b", "train", "g1", "Ann", "digital"),
    ("c", "test", "g2", "Bob", "film"),
    ("d", "validation", "g3", None, None),
]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "body",
            ("5a17", "5a17"),
            "camera body of the photographs ca978112ca1b and 2d711642b726 is in train of first and",
        ),
        (
            "phash",
            (2**63 + 7, 2**63 + 6),
            "near-duplicates with ca978112ca1b and 2d711642b726 is in train of first and in",
        ),
    ],
)
def test_bodies_and_near_duplicates_of_several_data_sets_are_not_divided(
    column: str, values: tuple[Any, Any], message: str
) -> None:
    parts = [dataset("first", FIRST[:1]), dataset("second", [("x", "test", "h", None, "film")])]
    for index, value in enumerate(values):
        manifest = parts[index].manifest
        values_of = pa.array([value], SCHEMA.field(column).type)
        manifest = manifest.set_column(SCHEMA.get_field_index(column), column, values_of)
        parts[index] = replace(parts[index], manifest=manifest)
    with pytest.raises(UsageError, match=message):
        unite(parts)


def test_union_holds_each_photograph_once_in_groups_across_data_sets() -> None:
    first, second = (
        dataset("first", FIRST),
        dataset(
            "second",
            [
                ("a", "train", "h1", None, "film"),  # connects h1 with g1 of Ann
                ("e", "train", "h1", None, "digital"),
                ("f", "test", "h2", " bob", "film"),
                ("g", "validation", "h3", None, "digital"),
            ],
        ),
    )
    union = unite([first, second])
    assert (union.spec.name, dict(union.spec.counts)) == ("first + second", {"train": 3, "validation": 2, "test": 2})
    rows = union.rows()
    assert [row["sha256"] for row in rows] == sorted({row["sha256"] for row in rows})
    groups = {split: {row["group"] for row in union.rows(split)} for split in ("train", "validation", "test")}
    assert {split: len(names) for split, names in groups.items()} == {"train": 1, "validation": 2, "test": 1}
    assert unite([second, first]).spec.manifest_sha256 == union.spec.manifest_sha256 not in {"first", "second"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "test", "h", None, "film")], "The photograph ca978112ca1b is in train of first and in test of second"),
        ([("x", "test", "h", "ANN", "film")], "The photographer 'Ann' is in train of first and in test of second"),
        (
            [("a", "train", "h", None, "film"), ("c", "test", "h", None, "film")],
            "The group of the photographs ca978112ca1b and 2e7d2c03a950 is in train of second and in test of second",
        ),
        (
            [("a", "train", "h", None, "digital")],
            "photograph ca978112ca1b differs between first (film) and second (dig",
        ),
        ([("d", "validation", "h", None, "film")], "differs between first (none) and second (film)"),
    ],
)
def test_what_is_in_several_splits_or_labelled_differently_is_named(rows: list[Row], message: str) -> None:
    with pytest.raises(UsageError) as error:
        unite([dataset("first", FIRST), dataset("second", rows)])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (replace(MEDIUM, name="iso"), "The data set first has the target 'medium', which second lacks"),
        (replace(MEDIUM, classes=("digital", "film")), "The classes of 'medium' differ between first and second"),
        (replace(MEDIUM, version="2"), "The definitions of 'medium' differ between first and second"),
        (replace(MEDIUM, summary="in other words"), ""),
    ],
)
def test_targets_must_be_the_same(target: TargetSpec, message: str) -> None:
    other = dataset("second", [("x", "train", "h", None, "film")], target)
    if not message:
        assert len(unite([dataset("first", FIRST), other]).rows()) == 5
        return
    with pytest.raises(UsageError) as error:
        unite([dataset("first", FIRST), other])
    assert message in str(error.value)


def test_data_set_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="The data set first is given twice"):
        unite([dataset("first", FIRST), dataset("first", FIRST)])
