"""Freezing data sets: nothing leaks, every class has its share, the same inputs give the same bytes."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from sqlalchemy import func, insert, select

from harvest.catalogue.tables import DataSet as DataSetRow
from harvest.catalogue.tables import Label
from labels.apply import apply
from labels.assign import assign, count
from labels.dataset import SPLITS, DataSet, read_dataset
from labels.groups import connect
from labels.targets.library import find
from lightmeter.cli import main

FAST, SLOW = 1 / 1000, 1 / 15


def fill(catalogue: Any, photographers: int = 12, each: int = 5) -> None:
    """Add photographers who take fast and slow photographs in turn."""
    for person in range(photographers):
        for index in range(each):
            seconds = FAST if (person + index) % 2 else SLOW
            catalogue.photograph(owner=f"person {person}", make="Canon", model="EOS", exposure_time_s=seconds)
    apply(catalogue.engine, [find("shutter-binary"), find("medium")])


def freeze(*options: str, name: str = "one", target: str = "shutter-binary") -> DataSet:
    assert main(["labels", "split", name, "--target", target, *options]) == 0
    return read_dataset(Path("datasets") / name)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["labels", "split", *argv]) == 2
    return capsys.readouterr().err


def sides_by(dataset: DataSet, column: str) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for row in dataset.rows():
        sides.setdefault(row[column], set()).add(row["split"])
    return sides


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
    apply(catalogue.engine, [find("shutter-binary")])
    dataset = freeze()
    aliases = {row["group"] for row in dataset.rows() if row["owner"].startswith("alias")}
    assert len(aliases) == 1


def test_near_identical_pictures_of_two_people_stay_on_one_side(any_catalogue: Any) -> None:
    fill(any_catalogue)
    for person, phash in (("left", "f0f0f0f0f0f0f0f0"), ("right", "f0f0f0f0f0f0f0f1")):
        any_catalogue.photograph(owner=person, phash=phash, exposure_time_s=FAST)
    apply(any_catalogue.engine, [find("shutter-binary")])
    groups = sides_by(freeze(), "owner")
    assert groups["left"] == groups["right"]


def test_the_same_camera_model_is_no_group_but_with_its_owner_it_is(catalogue: Any) -> None:
    for index in range(24):
        owner = (None, None, "Ann ", "ann")[index % 4] if index < 8 else None
        body = "b0d1" if index == 3 else None
        seconds = (FAST, SLOW)[index // 4 % 2]
        catalogue.photograph(owner=owner, body=body, make="Canon", model="EOS", exposure_time_s=seconds)
    apply(catalogue.engine, [find("shutter-binary")])
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
    sides = assign(counts, (0.8, 0.1, 0.1), [f"{group}" for group in range(counts.group_total)], seed)
    assert set(sides) <= {0, 1, 2}
    for key in {key for found in keys_of for key in found}:
        members = {int(group_of[index]) for index, found in enumerate(keys_of) if key in found}
        assert len(members) == 1


def test_a_class_of_three_groups_is_on_every_side_beside_a_giant() -> None:
    of_groups = ([500, 400], [1, 0], [1, 0], [0, 1], [0, 2])
    group_of = np.repeat(np.arange(5), [sum(numbers) for numbers in of_groups])
    labels = np.concatenate([np.repeat((0, 1), numbers) for numbers in of_groups])
    sides = assign(count(group_of, np.arange(len(labels)), labels, 2), (0.8, 0.1, 0.1), list("abcde"), 0)
    assert sides[0] == 0
    for label in (0, 1):
        assert {sides[group] for group, numbers in enumerate(of_groups) if numbers[label]} == {0, 1, 2}


def test_classes_get_their_shares_as_nearly_as_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    people = np.minimum(random.zipf(1.5, 20_000), 3_000)
    labels = (people + random.integers(4, size=len(people))) % 7  # photographers differ in what they like
    names, group_of = np.unique(people, return_inverse=True)
    counts = count(group_of.astype(np.int64), np.arange(len(labels)), labels, 7)
    ours = np.asarray(assign(counts, [0.1] * 10, [str(name) for name in names], 0))[group_of]
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


def test_the_folder_holds_card_attribution_plots_and_paths_into_the_store(any_catalogue: Any) -> None:
    fill(any_catalogue)
    dataset = freeze()
    row = dataset.rows()[0]
    assert row["path"] == f"{row['sha256'][:2]}/{row['sha256']}"
    assert dataset.store == any_catalogue.project.store.resolve()
    with (dataset.folder / "ATTRIBUTION.csv").open(encoding="utf-8") as file:
        thanks = list(csv.DictReader(file))
    assert {one["sha256"] for one in thanks} == {one["sha256"] for one in dataset.rows()}
    card = (dataset.folder / "README.md").read_text(encoding="utf-8")
    assert dataset.spec.manifest_sha256 in card
    assert "| Canon EOS | 60 |" in card
    assert {plot.name for plot in (dataset.folder / "plots").iterdir()} == {
        "cameras.png",
        "licences.png",
        "photographers.png",
        "shutter-binary-classes.png",
        "shutter-binary-values.png",
        "sources.png",
        "years.png",
    }
    assert any_catalogue.rows(select(DataSetRow.name, DataSetRow.manifest_sha256)) == [
        ("one", dataset.spec.manifest_sha256)
    ]


def test_the_card_tells_how_photographs_were_chosen_and_how_far_each_class_is_from_its_share(catalogue: Any) -> None:
    fill(catalogue, photographers=20)
    for seconds in (FAST, SLOW) * 3:
        catalogue.photograph(exposure_time_s=seconds, source="flickr")
    apply(catalogue.engine, [find("shutter-binary")])

    def card(name: str, *options: str) -> str:
        return (freeze(*options, name=name).folder / "README.md").read_text(encoding="utf-8")

    whole = card("one", "--where", "width > 1")
    assert "Chosen by the query `width > 1`. Ratios 80/10/10. Seed 0." in whole
    assert "| class | train | validation | test | shares in % | off by at most |" in whole
    dataset = read_dataset(Path("datasets/one"))
    fast = Counter(row["split"] for row in dataset.rows() if row["label_shutter-binary"] == "fast")
    off = max(abs(100 * fast[side] / fast.total() - share) for side, share in zip(SPLITS, (80, 10, 10), strict=True))
    assert f"| {off:.1f} points |" in next(line for line in whole.splitlines() if line.startswith("| fast |"))
    assert "6 of 106 photographs name neither photographer nor camera body" in whole
    held_out = card("two", "--holdout-source", "flickr")
    assert "The test side is the source flickr, with all that belongs to its groups. Seed 0." in held_out
    assert "off by at most" not in held_out
    assert "name neither" not in card("three", "--where", "owner is known")


def test_a_rare_class_is_left_out_and_the_card_says_so(catalogue: Any) -> None:
    fill(catalogue)
    catalogue.photograph(owner="somebody", exposure_time_s=30.0)
    apply(catalogue.engine, [find("shutter")])
    dataset = freeze(target="shutter")
    assert dataset.spec.targets[0].classes == ("1/1000", "1/15")
    assert dataset.spec.targets[0].stops == (-10, -4)
    assert dataset.spec.split["left_out"] == [{"target": "shutter", "name": "30", "photographs": 1, "groups": 1}]
    assert (
        "Classes of shutter that are left out, with their photographs and groups: 30 (1 in 1)"
        in (dataset.folder / "README.md").read_text()
    )


def test_two_targets_in_one_data_set(any_catalogue: Any) -> None:
    for person in range(12):
        medium = "film" if person % 2 else None
        for seconds in (FAST, SLOW, None):
            any_catalogue.photograph(owner=str(person), medium=medium or "digital", exposure_time_s=seconds)
    any_catalogue.photograph(owner="nobody")
    apply(any_catalogue.engine, [find("shutter-binary"), find("medium")])
    dataset = freeze("--target", "medium")
    assert dataset.manifest.num_rows == 36
    assert Counter(row["label_shutter-binary"] for row in dataset.rows()) == {"fast": 12, "slow": 12, None: 12}
    assert {(row["split"], row["label_medium"]) for row in dataset.rows()} == {
        (side, medium) for side in SPLITS for medium in ("film", "digital")
    }


def test_a_data_set_is_frozen(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fill(catalogue)
    dataset = freeze()
    capsys.readouterr()
    assert main(["labels", "split", "one", "--target", "shutter-binary", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] is False
    image = catalogue.rows(select(func.min(Label.image_id)))[0][0]
    with catalogue.engine.begin() as connection:
        connection.execute(
            insert(Label).values(image_id=image, target="shutter-binary", value="fast", origin="hand", author="ann")
        )
    told = refused(capsys, "one", "--target", "shutter-binary")
    assert "frozen already" in told
    assert "1 photograph with another label of shutter-binary" in told
    assert read_dataset(dataset.folder).spec == dataset.spec


def test_another_version_of_lightmeter_is_no_other_choice(
    catalogue: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(catalogue)
    freeze()
    monkeypatch.setattr("labels.split.__version__", "9.9")
    capsys.readouterr()
    freeze()
    assert "It was there already, unchanged." in " ".join(capsys.readouterr().out.split())
    assert "with other choices" in refused(capsys, "one", "--target", "shutter-binary", "--where", "width > 1")


def test_balanced_classes_lose_photographs_of_the_busiest_first(
    catalogue: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for person in range(30):
        for _ in range(40 if person == 0 else 4):
            catalogue.photograph(owner=f"person {person}", exposure_time_s=FAST)
        catalogue.photograph(owner=f"person {person}", exposure_time_s=SLOW)
        catalogue.photograph(owner=f"person {person}", exposure_time_s=SLOW)
    apply(catalogue.engine, [find("shutter-binary")])
    dataset = freeze("--balance")
    counts = Counter((row["split"], row["label_shutter-binary"]) for row in dataset.rows())
    assert all(counts[side, "fast"] == counts[side, "slow"] > 0 for side in SPLITS)
    assert sum(counts.values()) == 120
    assert "96 photographs are left out so that every class" in capsys.readouterr().out
    assert dataset.spec.split["thinned"] == 96
    fast = Counter(row["owner"] for row in dataset.rows() if row["label_shutter-binary"] == "fast")
    assert (len(fast), max(fast.values())) == (30, 2)  # nobody is lost, and nobody outweighs the others
    assert freeze("--balance", name="two").spec.manifest_sha256 == dataset.spec.manifest_sha256


def test_json_holds_the_counts(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fill(catalogue)
    capsys.readouterr()
    assert main(["labels", "split", "one", "--target", "shutter-binary", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert Path(found["path"]).name == "one"
    assert len(found["manifest_sha256"]) == 64
    assert sum(found["counts"]["shutter-binary"]["fast"].values()) == 30


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ratios", "80/20"], "three numbers"),
        (["--ratios", "80/20/0"], "three numbers"),
        (["--group", "photgrapher"], "choose from photographer"),
        (["--target", "medium"], "leaves no class to learn"),
        (["--target", "isoo"], "did you mean iso"),
    ],
)
def test_wrong_options_are_one_sentence(
    catalogue: Any, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    fill(catalogue)
    assert told in refused(capsys, "one", "--target", "shutter-binary", *options)
    assert not (catalogue.project.datasets / "one").exists()


def test_without_labels_a_split_says_what_to_run(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "labels apply shutter" in refused(capsys, "one", "--target", "shutter")
    catalogue.photograph(exposure_time_s=FAST)
    assert "labels apply shutter" in refused(capsys, "one", "--target", "shutter")
    assert "Give the data set a name" in refused(capsys, "--target", "shutter")


def test_one_photographer_alone_cannot_be_split(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fill(catalogue, photographers=1, each=40)
    assert "form 1 group that must stay together" in refused(capsys, "one", "--target", "shutter-binary")


def test_one_class_alone_cannot_be_learnt(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for person in range(9):
        catalogue.photograph(owner=str(person), exposure_time_s=FAST)
    apply(catalogue.engine, [find("shutter-binary")])
    assert "only the class fast" in refused(capsys, "one", "--target", "shutter-binary")


def test_a_folder_that_is_something_else_is_left_alone(
    catalogue: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fill(catalogue)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    told = refused(capsys, "x", "--target", "shutter-binary", "--out", str(tmp_path / "mine"))
    assert "no data set" in told


def test_cross_validation_tests_each_photograph_once(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fill(catalogue)
    capsys.readouterr()
    assert main(["labels", "split", "cv", "--target", "shutter-binary", "--folds", "4", "--json"]) == 0
    found = [read_dataset(Path(one["path"])) for one in json.loads(capsys.readouterr().out)["folds"]]
    assert [one.spec.split["fold"] for one in found] == [1, 2, 3, 4]
    tested = [row["sha256"] for one in found for row in one.rows("test")]
    assert len(tested) == len(set(tested)) == 60
    for one in found:
        assert all(len(sides) == 1 for sides in sides_by(one, "owner").values())
        assert {row["label_shutter-binary"] for row in one.rows("validation")} == {"fast", "slow"}
        assert "Against" not in (one.folder / "README.md").read_text(encoding="utf-8")  # folds are no versions
    assert main(["labels", "split", "cv-v2", "--target", "shutter-binary", "--folds", "4", "--seed", "1"]) == 0
    card = (catalogue.project.datasets / "cv-v2" / "fold-3" / "README.md").read_text(encoding="utf-8")
    assert "Fold 3 of 4 is the test side" in card
    assert "Against cv/fold-3: another seed (0 → 1)" in card


def test_a_source_can_be_held_out_with_all_that_belongs_to_it(
    catalogue: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(catalogue)
    for index in range(6):
        owner = "person 0" if index == 0 else f"stranger {index}"
        catalogue.photograph(owner=owner, source="flickr", exposure_time_s=(FAST, SLOW)[index % 2])
    apply(catalogue.engine, [find("shutter-binary")])
    dataset = freeze("--holdout-source", "flickr")
    assert {row["owner"] for row in dataset.rows("test")} == {"person 0", *(f"stranger {n}" for n in range(1, 6))}
    assert {row["source"] for row in dataset.rows("train")} == {"folder"}
    assert dataset.spec.counts["validation"] > 0
    assert "did you mean flickr" in refused(capsys, "x", "--target", "shutter-binary", "--holdout-source", "flicker")
    assert "at least 3" in refused(capsys, "x", "--target", "shutter-binary", "--folds", "2")
