"""Dealing photographs out: nothing leaks, every class has its share, the same inputs give the same bytes."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import Base
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.datasets.dataset import SPLITS, read_dataset
from lightmeter.labels.datasets.groups import connect
from lightmeter.labels.datasets.stratify import count, stratified_group_split
from lightmeter.labels.targets.registry import get_target
from tests.labels.splitting import FAST, SLOW, fill, freeze, sides_by, split_error


def test_no_photographer_is_on_two_sides_and_each_class_gets_its_share(catalogue: Any) -> None:
    fill(catalogue, photographers=40)
    dataset = freeze()
    assert all(len(sides) == 1 for sides in sides_by(dataset, "owner").values())
    counts = Counter((row["label_shutter-binary"], row["split"]) for row in dataset.rows())
    for name in ("fast", "slow"):
        assert counts[name, "train"] == pytest.approx(80, abs=4)
        assert counts[name, "test"] == pytest.approx(10, abs=3)


def test_one_camera_under_two_names_stays_on_one_side(catalogue: Any) -> None:
    fill(catalogue)
    for index in range(6):
        catalogue.photograph(owner=f"alias {index % 2}", body="5e1a1", exposure_time_s=FAST)
    apply(catalogue.engine, [get_target("shutter-binary")])
    dataset = freeze()
    aliases = {row["group"] for row in dataset.rows() if row["owner"].startswith("alias")}
    assert len(aliases) == 1


def test_near_identical_pictures_of_two_people_stay_on_one_side(any_catalogue: Any) -> None:
    fill(any_catalogue)
    for person, phash in (("left", "f0f0f0f0f0f0f0f0"), ("right", "f0f0f0f0f0f0f0f1")):
        any_catalogue.photograph(owner=person, phash=phash, exposure_time_s=FAST)
    apply(any_catalogue.engine, [get_target("shutter-binary")])
    groups = sides_by(freeze(), "owner")
    assert groups["left"] == groups["right"]


def test_the_same_camera_model_is_no_group_but_with_its_owner_it_is(catalogue: Any) -> None:
    for index in range(24):
        owner = (None, None, "Ann ", "ann")[index % 4] if index < 8 else None
        body = "b0d1" if index == 3 else None
        seconds = (FAST, SLOW)[index // 4 % 2]
        catalogue.photograph(owner=owner, body=body, make="Canon", model="EOS", exposure_time_s=seconds)
    apply(catalogue.engine, [get_target("shutter-binary")])
    by_camera = {row["sha256"]: row["group"] for row in freeze("--group", "camera").rows()}
    assert len(set(by_camera.values())) == 24 - 2  # three of Ann's are one camera, her other one has a serial number
    by_person = {row["sha256"]: row["group"] for row in freeze("--group", "photographer", name="two").rows()}
    assert len(set(by_person.values())) == 24 - 3


@settings(deadline=None, max_examples=60)
@given(
    photographs=st.lists(
        st.tuples(st.lists(st.integers(0, 25), max_size=3), st.integers(-1, 3)), min_size=3, max_size=60
    ),
    seed=st.integers(0, 1000),
)
def test_whatever_shares_a_key_is_on_one_side(photographs: list[tuple[list[int], int]], seed: int) -> None:
    keys_of = [found for found, _ in photographs]
    pairs = [(index, key) for index, found in enumerate(keys_of) for key in found]
    rows, keys = np.asarray(pairs, dtype=np.int64).reshape(-1, 2).T
    group_of = connect(len(photographs), {"some": (rows, keys)})
    labels = np.asarray([label for _, label in photographs])
    labelled = np.flatnonzero(labels >= 0)
    counts = count(group_of, labelled, labels[labelled], 4)
    sides = stratified_group_split(counts, (0.8, 0.1, 0.1), [f"{group}" for group in range(counts.group_total)], seed)
    assert set(sides) <= {0, 1, 2}
    for key in {key for found in keys_of for key in found}:
        members = {int(group_of[index]) for index, found in enumerate(keys_of) if key in found}
        assert len(members) == 1


def test_a_class_of_three_groups_is_on_every_side_beside_a_giant() -> None:
    of_groups = ([500, 400], [1, 0], [1, 0], [0, 1], [0, 2])
    group_of = np.repeat(np.arange(5), [sum(numbers) for numbers in of_groups])
    labels = np.concatenate([np.repeat((0, 1), numbers) for numbers in of_groups])
    sides = stratified_group_split(
        count(group_of, np.arange(len(labels)), labels, 2), (0.8, 0.1, 0.1), list("abcde"), 0
    )
    assert sides[0] == 0
    for label in (0, 1):
        assert {sides[group] for group, numbers in enumerate(of_groups) if numbers[label]} == {0, 1, 2}


def test_classes_get_their_shares_as_nearly_as_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    people = np.minimum(random.zipf(1.5, 20_000), 3_000)
    labels = (people + random.integers(4, size=len(people))) % 7  # photographers differ in what they like
    names, group_of = np.unique(people, return_inverse=True)
    counts = count(group_of.astype(np.int64), np.arange(len(labels)), labels, 7)
    ours = np.asarray(stratified_group_split(counts, [0.1] * 10, [str(name) for name in names], 0))[group_of]
    theirs = np.zeros(len(labels), dtype=int)
    for fold, (_, members) in enumerate(StratifiedGroupKFold(10).split(labels, labels, group_of)):
        theirs[members] = fold

    def off(folds: NDArray[np.int64]) -> float:
        shares = np.stack([np.bincount(labels[folds == fold], minlength=7) for fold in range(10)])
        return float(np.abs(shares / shares.sum(axis=0) - 0.1).mean())

    assert off(ours) <= off(theirs)


def test_the_same_inputs_and_seed_give_the_same_bytes_and_another_seed_others(catalogue: Any, tmp_path: Path) -> None:
    fill(catalogue)
    first = freeze()
    again = tmp_path / "elsewhere" / "one"
    assert main(["labels", "split", "one", "--target", "shutter-binary", "--out", str(again)]) == 0
    assert (again / "manifest.parquet").read_bytes() == (first.folder / "manifest.parquet").read_bytes()
    assert freeze("--seed", "1", name="two").spec.manifest_sha256 != first.spec.manifest_sha256


def test_the_order_in_which_photographs_came_plays_no_part(catalogue: Any) -> None:
    def manifest(name: str, order: Iterable[int]) -> bytes:
        with catalogue.engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(table.delete())
        for number in order:
            catalogue.count = number
            person = f"person {number % 13}" if number % 4 else None
            catalogue.photograph(owner=person, exposure_time_s=(FAST, SLOW)[number % 3 % 2], phash=f"{number % 9:016x}")
        apply(catalogue.engine, [get_target("shutter-binary")])
        dataset = freeze("--group", "photographer", name=name)
        return (dataset.folder / "manifest.parquet").read_bytes()

    assert manifest("one", range(80)) == manifest("two", reversed(range(80)))


def test_two_targets_in_one_data_set(any_catalogue: Any) -> None:
    for person in range(12):
        medium = "film" if person % 2 else None
        for seconds in (FAST, SLOW, None):
            any_catalogue.photograph(owner=str(person), medium=medium or "digital", exposure_time_s=seconds)
    any_catalogue.photograph(owner="nobody")
    apply(any_catalogue.engine, [get_target("shutter-binary"), get_target("medium")])
    dataset = freeze("--target", "medium")
    assert dataset.manifest.num_rows == 36
    assert Counter(row["label_shutter-binary"] for row in dataset.rows()) == {"fast": 12, "slow": 12, None: 12}
    assert {(row["split"], row["label_medium"]) for row in dataset.rows()} == {
        (side, medium) for side in SPLITS for medium in ("film", "digital")
    }


def test_balanced_classes_lose_photographs_of_the_busiest_first(
    catalogue: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for person in range(30):
        for _ in range(40 if person == 0 else 4):
            catalogue.photograph(owner=f"person {person}", exposure_time_s=FAST)
        catalogue.photograph(owner=f"person {person}", exposure_time_s=SLOW)
        catalogue.photograph(owner=f"person {person}", exposure_time_s=SLOW)
    apply(catalogue.engine, [get_target("shutter-binary")])
    dataset = freeze("--balance")
    counts = Counter((row["split"], row["label_shutter-binary"]) for row in dataset.rows())
    assert all(counts[side, "fast"] == counts[side, "slow"] > 0 for side in SPLITS)
    assert sum(counts.values()) == 120
    assert "96 photographs are left out so that every class" in capsys.readouterr().out
    assert dataset.spec.split["thinned"] == 96
    fast = Counter(row["owner"] for row in dataset.rows() if row["label_shutter-binary"] == "fast")
    assert (len(fast), max(fast.values())) == (30, 2)  # nobody is lost, and nobody outweighs the others
    assert freeze("--balance", name="two").spec.manifest_sha256 == dataset.spec.manifest_sha256


def test_cross_validation_tests_each_photograph_once(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fill(catalogue)
    capsys.readouterr()
    assert main(["labels", "split", "cv", "--target", "shutter-binary", "--folds", "3", "--json"]) == 0
    found = [read_dataset(Path(one["path"])) for one in json.loads(capsys.readouterr().out)["folds"]]
    assert [one.spec.split["fold"] for one in found] == [1, 2, 3]
    tested = [row["sha256"] for one in found for row in one.rows("test")]
    assert len(tested) == len(set(tested)) == 60
    for one in found:
        assert all(len(sides) == 1 for sides in sides_by(one, "owner").values())
        assert {row["label_shutter-binary"] for row in one.rows("validation")} == {"fast", "slow"}
        assert "Against" not in (one.folder / "README.md").read_text(encoding="utf-8")  # folds are no versions
    assert main(["labels", "split", "cv-v2", "--target", "shutter-binary", "--folds", "3", "--seed", "1"]) == 0
    card = (catalogue.project.datasets / "cv-v2" / "fold-3" / "README.md").read_text(encoding="utf-8")
    assert "Fold 3 of 3 is the test side" in card
    assert "Against cv/fold-3: another seed (0 → 1)" in card


def test_a_source_can_be_held_out_with_all_that_belongs_to_it(catalogue: Any) -> None:
    fill(catalogue)
    for index in range(6):
        owner = "person 0" if index == 0 else f"stranger {index}"
        catalogue.photograph(owner=owner, source="flickr", exposure_time_s=(FAST, SLOW)[index % 2])
    catalogue.photograph(owner="person 7", exposure_time_s=FAST, also_at="flickr")
    apply(catalogue.engine, [get_target("shutter-binary")])
    dataset = freeze("--holdout-source", "flickr")
    strangers = {f"stranger {n}" for n in range(1, 6)}
    assert {row["owner"] for row in dataset.rows("test")} == {"person 0", "person 7", *strangers}
    assert {row["source"] for row in dataset.rows("train")} == {"folder"}
    assert dataset.spec.counts["validation"] > 0
    assert "did you mean flickr" in split_error("x", "--target", "shutter-binary", "--holdout-source", "flicker")
    assert "at least 3" in split_error("x", "--target", "shutter-binary", "--folds", "2")
