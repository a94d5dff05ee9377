"""Targets whose classes turn out, and whose photographs can have several: cameras and concepts."""

import json
from pathlib import Path
from typing import Any

import pytest

from lightmeter.cli import main
from lightmeter.labels.datasets.dataset import Dataset, label_column, read_dataset
from tests.support import Lightmeter, jpeg, run_error, run_json


@pytest.fixture
def filled(any_catalogue: Any) -> Any:
    """Photographs of two cameras that are common and one that is rare, with concepts: every third has two."""
    cameras = [("NIKON CORPORATION", "NIKON D90"), ("Canon", "Canon EOS 5D"), ("Canon", "Canon EOS 5D")]
    for index in range(60):
        make, model = ("LEICA CAMERA AG", "M8") if index in {6, 23} else cameras[index % 3]
        concepts = [["animals", "dogs"], ["animals"], ["street"]][index % 3]
        any_catalogue.photograph(
            owner=f"person {index % 15}", make=make, model=model, concepts=concepts, exposure_time_s=0.01
        )
    run_json("labels", "apply", "camera-make", "camera-model", "concept", "super-concept")
    return any_catalogue


def freeze(*options: str, name: str = "one") -> Dataset:
    assert main(["labels", "split", name, *options]) == 0
    return read_dataset(Path("datasets") / name)


def test_the_classes_are_those_with_enough_photographs_when_the_data_set_is_frozen(filled: Any) -> None:
    dataset = freeze("--target", "camera-model", "--group", "photographer", "--least", "10")
    (target,) = dataset.spec.targets
    assert target.classes == ("Canon EOS 5D", "Nikon D90")
    assert (target.multilabel, target.stops) == (False, ())
    assert {row["label_camera-model"] for row in dataset.rows()} == {"Canon EOS 5D", "Nikon D90"}
    card = (dataset.folder / "README.md").read_text(encoding="utf-8")
    assert "left out, with their photographs and groups: Leica M8 (2 in 2); a class needs 10" in card


def test_a_definition_says_how_many_photographs_a_class_must_have(filled: Any) -> None:
    words = ("labels", "split", "x", "--target", "camera-make", "--group", "photographer")
    assert "leaves only the class Canon to learn" in run_error(*words)
    assert set(run_json(*words, "--least", "19")["counts"]["camera-make"]) == {"Canon", "Nikon"}


def test_a_photograph_can_have_several_concepts(filled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = freeze("--target", "concept", "--target", "camera-make", "--least", "5")
    concept = dataset.spec.target("concept")
    assert (concept.classes, concept.multilabel) == (("animals", "dogs", "street"), True)
    lists = [row[label_column("concept")] for row in dataset.rows()]
    assert sorted(map(tuple, lists)) == [("animals",)] * 20 + [("animals", "dogs")] * 20 + [("street",)] * 20
    assert "stops_concept" not in dataset.manifest.column_names
    assert main(["labels", "split", "--check", "one"]) == 1  # the photographs themselves are not there
    found = capsys.readouterr().out
    assert "in the store" in found
    assert "two sides" not in found


def test_baselines_of_several_labels_are_told_by_macro_f1(filled: Any) -> None:
    found = run_json("labels", "split", "one", "--target", "concept", "--group", "photographer")
    majority, *others = found["baselines"]["concept"]
    assert majority["measure"] == "macro F1"
    # whoever says all of all: 2 p / (1 + p), with p of 2/3, 1/3 and 1/3
    assert majority["score"] == pytest.approx((4 / 5 + 1 / 2 + 1 / 2) / 3)
    assert all(one["low"] <= one["score"] <= one["high"] for one in others)
    assert found["counts"]["concept"]["animals"] == pytest.approx({"train": 32, "validation": 4, "test": 4}, abs=4)


def test_several_classes_are_set_by_hand_and_travel(filled: Any) -> None:
    run_json("labels", "set", "1.jpg", "concept=street|cats", "super-concept=cats", "--author", "ann")
    (found,) = run_json("labels", "show", "1.jpg")
    assert [row["value"] for row in found["labels"] if row["counts"] and row["target"] == "concept"] == ["cats|street"]
    assert "allows one class per photograph" in run_error("labels", "set", "1.jpg", "camera-make=Canon|Nikon")
    assert "empty class name" in run_error("labels", "set", "1.jpg", "concept=street|")
    run_json("labels", "export", "tasks.json", "--target", "concept")
    (first, *_) = json.loads(Path("tasks.json").read_text())
    assert first["annotations"][-1]["result"][0]["value"]["choices"] == ["cats", "street"]
    assert run_json("labels", "import", "tasks.json")["known"] == 61


def test_another_label_makes_the_next_version_differ_and_says_how(
    filled: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze("--target", "concept", name="concept-v1")
    run_json("labels", "set", "2.jpg", "concept=animals|dogs", "--author", "ann")
    capsys.readouterr()
    freeze("--target", "concept", name="concept-v2")
    said = capsys.readouterr().out
    assert "Against concept-v1:" in said
    assert "1 photograph with another label of concept (" in said
    assert "animals → animals, dogs)" in said


def test_the_stats_of_open_classes_are_those_in_use(filled: Any) -> None:
    assert run_json("labels", "stats", "camera-make")["classes"] == {"Canon": 39, "Nikon": 19, "Leica": 2}
    found = run_json("labels", "stats", "concept")
    assert (found["classes"], found["labelled"]) == ({"animals": 40, "dogs": 20, "street": 20}, 60)


def test_packs_hold_several_classes(filled: Any) -> None:
    freeze("--target", "concept")
    assert "can have several classes" in run_error("labels", "pack", "one", "--format", "imagefolder")


def test_balance_needs_one_class_a_photograph(filled: Any) -> None:
    assert "needs one target" in run_error("labels", "split", "x", "--target", "concept", "--balance")


def test_folders_names_are_concepts(project: Path, tmp_path: Path, lightmeter: Lightmeter) -> None:
    for number, folder in enumerate(("Animals/Dogs", "Animals/Dogs", "Animals/Cats", "Street")):
        place = tmp_path / "pictures" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").write_bytes(jpeg(number))
    lightmeter("harvest", "run", "folder", tmp_path / "pictures", "--concepts-from-folders")
    run_json("labels", "apply", "concept", "super-concept", "sub-concept")
    counted = {
        name: run_json("labels", "stats", name)["classes"] for name in ("concept", "super-concept", "sub-concept")
    }
    assert counted == {
        "concept": {"animals": 3, "dogs": 2, "cats": 1, "street": 1},
        "super-concept": {"animals": 3, "street": 1},
        "sub-concept": {"dogs": 2, "cats": 1},
    }
