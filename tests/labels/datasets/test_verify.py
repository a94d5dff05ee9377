"""Verification of existing data sets."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import insert, select, update

from lightmeter.harvest.catalogue.models import Exif, Image, Inspection
from lightmeter.labels.datasets.dataset import Dataset, read_dataset, write_dataset
from tests.labels.datasets.helpers import FAST, SLOW, apply_rules, create_dataset
from tests.support import run_error, run_json


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    """A data set with photographs in the store."""
    catalogue.fill_once(fill_catalogue)
    return read_dataset(Path("datasets/one"))


def fill_catalogue(catalogue: Any) -> None:
    store = catalogue.project.store
    for index in range(30):
        catalogue.photograph(owner=str(index // 3), exposure_time_s=(FAST, SLOW)[index % 2])
    apply_rules(catalogue, "shutter-binary")
    for number in range(1, 31):  # `Catalogue.photograph` hashes the number of the photograph
        data = str(number).encode()
        store.put(hashlib.sha256(data).hexdigest(), data)
    create_dataset()


def violations(code: int = 1) -> list[str]:
    """Verify the data set and return the descriptions of its violations."""
    document = run_json("labels", "verify", "one", code=code)
    assert document["valid"] is (code == 0)
    return [violation["description"] for violation in document["violations"]]


def test_new_dataset_is_valid(dataset: Dataset) -> None:
    assert violations(code=0) == []


def test_missing_and_changed_files_are_violations(dataset: Dataset) -> None:
    first, second = (dataset.store.root / row["path"] for row in dataset.rows()[:2])
    first.unlink()
    second.chmod(0o644)
    second.write_bytes(b"other")
    assert violations() == ["photographs missing in the store", "photographs with changed bytes"]


def test_group_in_two_splits_is_a_violation(dataset: Dataset) -> None:
    splits = dataset.manifest.column("split").to_pylist()
    splits[0] = "test" if splits[0] != "test" else "train"
    index = dataset.manifest.column_names.index("split")
    spec = replace(dataset.spec, counts={})
    write_dataset(dataset.folder, spec, dataset.manifest.set_column(index, "split", pa.array(splits)))
    assert violations() == ["groups in several splits", "photographers in several splits"]


def test_leak_recorded_only_in_the_catalogue_is_a_violation(catalogue: Any, dataset: Dataset) -> None:
    train, test = dataset.rows("train")[0]["sha256"], dataset.rows("test")[0]["sha256"]
    ids = {sha256: image_id for image_id, sha256 in catalogue.rows(select(Image.id, Image.sha256))}
    with catalogue.engine.begin() as connection:
        connection.execute(update(Image).where(Image.sha256.in_((train, test))).values(body="5e1a1"))
        for sha256, phash in ((train, "f0f0f0f0f0f0f0f0"), (test, "f0f0f0f0f0f0f0f1")):
            inspection = {"image_id": ids[sha256], "filter": "duplicates", "version": 1, "verdict": "keep"}
            connection.execute(insert(Inspection).values(**inspection, measures={"phash": phash}))
    assert violations() == ["camera bodies in several splits", "near-duplicates in several splits"]


def test_changed_exif_is_a_violation(catalogue: Any, dataset: Dataset) -> None:
    with catalogue.engine.begin() as connection:
        connection.execute(update(Exif).where(Exif.image_id == 3).values(make="Other"))
    assert violations() == ["photographs with different EXIF in the catalogue"]


def test_damaged_photograph_is_a_violation(catalogue: Any, dataset: Dataset) -> None:
    with catalogue.engine.begin() as connection:
        connection.execute(update(Image).where(Image.id == 3).values(problem="truncated"))
    assert violations() == ["photographs missing or damaged in the catalogue"]


def test_edited_manifest_is_refused(dataset: Dataset) -> None:
    with (dataset.folder / "manifest.parquet").open("ab") as file:
        file.write(b" ")
    assert "does not have the SHA-256" in run_error("labels", "verify", "one")


def test_missing_dataset_is_an_error(catalogue: Any) -> None:
    assert "Unknown data set 'missing'" in run_error("labels", "verify", "missing")
