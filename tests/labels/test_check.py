"""Checking frozen data sets."""

import hashlib
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import insert, select, update

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection
from lightmeter.harvest.store import PhotoStore
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.datasets.dataset import CROP_COLUMNS, Dataset, crop_of, read_dataset, write_dataset
from lightmeter.labels.targets.registry import get_target
from tests.support import run_json


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    """A frozen data set whose photographs lie in the store."""
    store = PhotoStore(catalogue.project.store, catalogue.project.state / "aside")
    for index in range(30):
        catalogue.photograph(owner=str(index // 3), exposure_time_s=(1 / 1000, 1 / 15)[index % 2])
    apply(catalogue.engine, [get_target("shutter-binary")])
    assert main(["labels", "split", "one", "--target", "shutter-binary"]) == 0
    found = read_dataset(catalogue.project.datasets / "one")
    by_hash = {hashlib.sha256(str(n).encode()).hexdigest(): str(n).encode() for n in range(1, 31)}
    for row in found.rows():
        store.put(row["sha256"], by_hash[row["sha256"]])
    return found


def problems(code: int) -> list[str]:
    document = run_json("labels", "split", "--check", "one", code=code)
    assert document["sound"] is (code == 0)
    return [problem["what"] for problem in document["problems"]]


def test_a_sound_data_set_passes(dataset: Dataset) -> None:
    assert problems(0) == []


def test_missing_and_changed_files_are_found(dataset: Dataset) -> None:
    first, second = (dataset.store / row["path"] for row in dataset.rows()[:2])
    first.unlink()
    second.chmod(0o644)
    second.write_bytes(b"other")
    assert problems(1) == ["photographs are not in the store", "photographs have other bytes"]


def test_a_leak_is_found(dataset: Dataset) -> None:
    sides = dataset.manifest.column("split").to_pylist()
    sides[0] = "test" if sides[0] != "test" else "train"
    place = dataset.manifest.column_names.index("split")
    leaking = dataset.manifest.set_column(place, "split", pa.array(sides))
    write_dataset(dataset.folder, dataset.spec, leaking)
    assert problems(1) == ["groups on two sides", "photographers on two sides"]


def test_data_sets_from_before_crops_and_years_are_read_and_checked(dataset: Dataset) -> None:
    older = dataset.manifest.drop_columns(["taken_at", *CROP_COLUMNS])
    write_dataset(dataset.folder, dataset.spec, older)
    assert {crop_of(row) for row in read_dataset(dataset.folder).rows()} == {None}
    assert problems(0) == []


def test_what_the_catalogue_knows_today_can_show_a_leak_that_no_group_named(catalogue: Any, dataset: Dataset) -> None:
    train, test = (dataset.rows(side)[0]["sha256"] for side in ("train", "test"))
    images = {sha256: number for number, sha256 in catalogue.rows(select(Image.id, Image.sha256))}
    with catalogue.engine.begin() as connection:
        connection.execute(update(Image).where(Image.sha256.in_((train, test))).values(body="5e1a1"))
        for sha256, phash in ((train, "f0f0f0f0f0f0f0f0"), (test, "f0f0f0f0f0f0f0f1")):
            seen = {"image_id": images[sha256], "filter": "duplicates", "version": 1, "verdict": "keep"}
            connection.execute(insert(Inspection).values(**seen, measures={"phash": phash}))
    assert problems(1) == ["camera bodies on two sides", "near-identical pictures on two sides"]


def test_exif_that_changed_since_is_found(catalogue: Any, dataset: Dataset) -> None:
    with catalogue.engine.begin() as connection:
        connection.execute(update(Exif).where(Exif.image_id == 3).values(make="Other"))
    assert problems(1) == ["photographs have other EXIF in the catalogue"]


def test_photographs_that_the_catalogue_no_longer_has_whole_are_found(catalogue: Any, dataset: Dataset) -> None:
    with catalogue.engine.begin() as connection:
        connection.execute(update(Image).where(Image.id == 3).values(problem="truncated"))
    assert problems(1) == ["photographs are not in the catalogue, or damaged there"]


def test_an_edited_manifest_is_refused(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    with (dataset.folder / "manifest.parquet").open("ab") as file:
        file.write(b" ")
    assert main(["labels", "split", "--check", "one"]) == 2
    assert "is not the manifest that" in capsys.readouterr().err


def test_what_is_no_data_set_is_one_sentence(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", "split", "--check", "nothing"]) == 2
    assert "is no data set" in capsys.readouterr().err
    assert main(["labels", "split", "one"]) == 2
    assert "--target" in capsys.readouterr().err
