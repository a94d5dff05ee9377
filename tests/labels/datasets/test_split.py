"""Splits without leakage: groups, class shares, reproducibility, folds, held-out sources and undersampling."""

import doctest
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lightmeter.harvest.catalogue.models import Base
from lightmeter.labels.datasets.collect import collect
from lightmeter.labels.datasets.dataset import read_dataset
from lightmeter.labels.datasets.manifest import SPLITS
from lightmeter.labels.datasets.splits import split as split_module
from lightmeter.labels.targets.registry import get_target
from tests.labels.datasets.helpers import FAST, SLOW, add_photographers, apply_rules, create_dataset, splits_by
from tests.support import run_error, run_json, run_text


def test_example_in_docstring_runs(catalogue: Any) -> None:
    add_photographers(catalogue)
    with catalogue.engine.connect() as connection:
        photographs = collect(connection, [get_target("shutter-binary")])
    result = doctest.testmod(split_module, extraglobs={"photographs": photographs})
    assert result.attempted > 0
    assert result.failed == 0


def test_photographers_are_in_a_single_split_and_classes_get_their_shares(catalogue: Any) -> None:
    add_photographers(catalogue, photographers=40)
    dataset = create_dataset()
    assert all(len(splits) == 1 for splits in splits_by(dataset, "owner").values())
    counts = Counter((row["label_shutter-binary"], row["split"]) for row in dataset.rows())
    for name in ("fast", "slow"):
        assert counts[name, "train"] == pytest.approx(80, abs=4)
        assert counts[name, "test"] == pytest.approx(10, abs=3)


def test_camera_body_under_two_owner_names_is_a_single_group(catalogue: Any) -> None:
    add_photographers(catalogue)
    for index in range(6):
        catalogue.photograph(owner=f"alias {index % 2}", body="5e1a1", exposure_time_s=FAST)
    apply_rules(catalogue, "shutter-binary")
    rows = create_dataset().rows()
    assert len({row["group"] for row in rows if row["owner"].startswith("alias")}) == 1


def test_near_duplicates_of_two_owners_are_in_the_same_split(any_catalogue: Any) -> None:
    add_photographers(any_catalogue)
    for person, phash in (("left", "f0f0f0f0f0f0f0f0"), ("right", "f0f0f0f0f0f0f0f1")):
        any_catalogue.photograph(owner=person, phash=phash, exposure_time_s=FAST)
    apply_rules(any_catalogue, "shutter-binary")
    splits = splits_by(create_dataset(), "owner")
    assert splits["left"] == splits["right"]


def test_camera_model_is_a_group_key_only_with_its_owner(catalogue: Any) -> None:
    for index in range(24):
        owner = (None, None, "Ann ", "ann")[index % 4] if index < 8 else None
        body = "b0d1" if index == 3 else None
        seconds = (FAST, SLOW)[index // 4 % 2]
        catalogue.photograph(owner=owner, body=body, make="Canon", model="EOS", exposure_time_s=seconds)
    apply_rules(catalogue, "shutter-binary")
    by_camera = {row["sha256"]: row["group"] for row in create_dataset("--group", "camera").rows()}
    assert len(set(by_camera.values())) == 24 - 2  # three of Ann's share a camera; the fourth has a serial number
    by_owner = {row["sha256"]: row["group"] for row in create_dataset("--group", "photographer", name="two").rows()}
    assert len(set(by_owner.values())) == 24 - 3


def test_equal_seeds_give_equal_bytes(catalogue: Any, tmp_path: Path) -> None:
    add_photographers(catalogue)
    first = create_dataset()
    second = tmp_path / "elsewhere" / "one"
    run_text("labels", "split", "one", "--target", "shutter-binary", "--out", second)
    assert (second / "manifest.parquet").read_bytes() == (first.folder / "manifest.parquet").read_bytes()
    assert create_dataset("--seed", "1", name="two").spec.manifest_sha256 != first.spec.manifest_sha256


def test_manifest_does_not_depend_on_the_order_of_the_catalogue(catalogue: Any) -> None:
    def manifest(name: str, order: Iterable[int]) -> bytes:
        with catalogue.engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(table.delete())
        for number in order:
            catalogue.count = number
            owner = f"person {number % 13}" if number % 4 else None
            catalogue.photograph(owner=owner, exposure_time_s=(FAST, SLOW)[number % 3 % 2], phash=f"{number % 9:016x}")
        apply_rules(catalogue, "shutter-binary")
        dataset = create_dataset("--group", "photographer", name=name)
        return (dataset.folder / "manifest.parquet").read_bytes()

    assert manifest("one", range(80)) == manifest("two", reversed(range(80)))


def test_dataset_with_two_targets_keeps_photographs_with_either_label(any_catalogue: Any) -> None:
    for person in range(12):
        medium = "film" if person % 2 else "digital"
        for seconds in (FAST, SLOW, None):
            any_catalogue.photograph(owner=str(person), medium=medium, exposure_time_s=seconds)
    any_catalogue.photograph(owner="unlabelled")
    apply_rules(any_catalogue, "shutter-binary", "medium")
    dataset = create_dataset("--target", "medium")
    assert dataset.manifest.num_rows == 36
    assert Counter(row["label_shutter-binary"] for row in dataset.rows()) == {"fast": 12, "slow": 12, None: 12}
    assert {(row["split"], row["label_medium"]) for row in dataset.rows()} == {
        (split, medium) for split in SPLITS for medium in ("film", "digital")
    }


def test_undersampling_drops_photographs_of_the_largest_groups_first(catalogue: Any) -> None:
    for person in range(30):
        for _ in range(40 if person == 0 else 4):
            catalogue.photograph(owner=f"person {person}", exposure_time_s=FAST)
        catalogue.photograph(owner=f"person {person}", exposure_time_s=SLOW)
        catalogue.photograph(owner=f"person {person}", exposure_time_s=SLOW)
    apply_rules(catalogue, "shutter-binary")
    output = run_text("labels", "split", "one", "--target", "shutter-binary", "--undersample")
    assert "Excluded 96 photographs so that all classes have equal counts" in output
    dataset = read_dataset(Path("datasets/one"))
    counts = Counter((row["split"], row["label_shutter-binary"]) for row in dataset.rows())
    assert all(counts[split, "fast"] == counts[split, "slow"] > 0 for split in SPLITS)
    assert sum(counts.values()) == 120
    assert dataset.spec.split["undersampled"] == 96
    fast = Counter(row["owner"] for row in dataset.rows() if row["label_shutter-binary"] == "fast")
    assert (len(fast), max(fast.values())) == (30, 2)  # every photographer, each with at most two photographs
    assert create_dataset("--undersample", name="two").spec.manifest_sha256 == dataset.spec.manifest_sha256


def test_each_photograph_is_in_the_test_split_of_a_single_fold(catalogue: Any) -> None:
    add_photographers(catalogue)
    folds = run_json("labels", "split", "cv", "--target", "shutter-binary", "--folds", 3)["folds"]
    datasets = [read_dataset(Path(fold["path"])) for fold in folds]
    assert [dataset.spec.split["fold"] for dataset in datasets] == [1, 2, 3]
    hashes = [row["sha256"] for dataset in datasets for row in dataset.rows("test")]
    assert len(hashes) == len(set(hashes)) == 60
    for dataset in datasets:
        assert all(len(splits) == 1 for splits in splits_by(dataset, "owner").values())
        assert {row["label_shutter-binary"] for row in dataset.rows("validation")} == {"fast", "slow"}
        assert "Changes since" not in (dataset.folder / "README.md").read_text(encoding="utf-8")
    run_text("labels", "split", "cv-v2", "--target", "shutter-binary", "--folds", 3, "--seed", 1)
    card = (catalogue.project.datasets / "cv-v2" / "fold-3" / "README.md").read_text(encoding="utf-8")
    assert "Fold 3 of 3 is the test split" in card
    assert "Changes since cv/fold-3: seed 0 → 1" in card


def test_held_out_source_is_the_test_split_with_all_its_groups(catalogue: Any) -> None:
    add_photographers(catalogue)
    for index in range(6):
        owner = "person 0" if index == 0 else f"stranger {index}"
        catalogue.photograph(owner=owner, source="flickr", exposure_time_s=(FAST, SLOW)[index % 2])
    catalogue.photograph(owner="person 7", exposure_time_s=FAST, also_at="flickr")
    apply_rules(catalogue, "shutter-binary")
    dataset = create_dataset("--holdout-source", "flickr")
    strangers = {f"stranger {number}" for number in range(1, 6)}
    assert {row["owner"] for row in dataset.rows("test")} == {"person 0", "person 7", *strangers}
    assert {row["source"] for row in dataset.rows("train")} == {"folder"}
    assert dataset.spec.counts["validation"] > 0
    options = ("labels", "split", "x", "--target", "shutter-binary")
    assert "did you mean flickr" in run_error(*options, "--holdout-source", "flicker")
    assert "at least 3" in run_error(*options, "--folds", 2)


def test_photographs_without_labels_are_an_error_that_names_the_command(catalogue: Any) -> None:
    assert "labels apply shutter" in run_error("labels", "split", "one", "--target", "shutter")
    catalogue.photograph(exposure_time_s=FAST)
    assert "labels apply shutter" in run_error("labels", "split", "one", "--target", "shutter")


def test_single_photographer_cannot_be_split(catalogue: Any) -> None:
    add_photographers(catalogue, photographers=1, each=40)
    assert "in 1 group (same photographer" in run_error("labels", "split", "one", "--target", "shutter-binary")


def test_single_class_is_an_error(catalogue: Any) -> None:
    for person in range(9):
        catalogue.photograph(owner=str(person), exposure_time_s=FAST)
    apply_rules(catalogue, "shutter-binary")
    assert "only the class fast" in run_error("labels", "split", "one", "--target", "shutter-binary")
