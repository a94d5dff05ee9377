"""Data sets of targets with open classes (cameras) and of multilabel targets (concepts)."""

import json
from pathlib import Path
from typing import Any

import pytest

from lightmeter.labels.datasets.dataset import Dataset, read_dataset
from lightmeter.labels.datasets.manifest import label_column
from tests.support import CommandRunner, jpeg, run_error, run_json, run_text


@pytest.fixture
def labelled(catalogue: Any) -> Any:
    """Photographs of two frequent cameras and a rare one; every third photograph has two concepts."""
    catalogue.fill_once(fill_catalogue)
    return catalogue


def fill_catalogue(catalogue: Any) -> None:
    cameras = [("NIKON CORPORATION", "NIKON D90"), ("Canon", "Canon EOS 5D"), ("Canon", "Canon EOS 5D")]
    for index in range(60):
        make, model = ("LEICA CAMERA AG", "M8") if index in {6, 23} else cameras[index % 3]
        concepts = [["animals", "dogs"], ["animals"], ["street"]][index % 3]
        owner = f"person {index % 15}"
        catalogue.photograph(owner=owner, make=make, model=model, concepts=concepts, exposure_time_s=0.01)
    run_json("labels", "apply", "camera-make", "camera-model", "concept", "super-concept")


def create_dataset(*options: object, name: str = "one") -> Dataset:
    run_text("labels", "split", name, *options)
    return read_dataset(Path("datasets") / name)


@pytest.mark.usefixtures("labelled")
def test_open_classes_are_those_with_enough_photographs() -> None:
    dataset = create_dataset("--target", "camera-model", "--group", "photographer", "--min-per-class", 10)
    (target,) = dataset.spec.targets
    assert target.classes == ("Canon EOS 5D", "Nikon D90")
    assert (target.multilabel, target.stops) == (False, ())
    assert {row["label_camera-model"] for row in dataset.rows()} == {"Canon EOS 5D", "Nikon D90"}
    card = (dataset.folder / "README.md").read_text(encoding="utf-8")
    assert "with photographs and groups: Leica M8 (2 in 2). A class needs 10 photographs" in card


@pytest.mark.usefixtures("labelled")
def test_definition_has_the_default_minimum_of_photographs_per_class() -> None:
    args = ("labels", "split", "x", "--target", "camera-make", "--group", "photographer")
    assert "has only the class Canon" in run_error(*args)
    assert set(run_json(*args, "--min-per-class", 19)["counts"]["camera-make"]) == {"Canon", "Nikon"}


def test_multilabel_manifest_has_lists_of_classes(any_catalogue: Any) -> None:
    any_catalogue.fill_once(fill_catalogue)
    dataset = create_dataset("--target", "concept", "--target", "camera-make", "--min-per-class", 5)
    concept = dataset.spec.target("concept")
    assert (concept.classes, concept.multilabel) == (("animals", "dogs", "street"), True)
    lists = [row[label_column("concept")] for row in dataset.rows()]
    assert sorted(map(tuple, lists)) == [("animals",)] * 20 + [("animals", "dogs")] * 20 + [("street",)] * 20
    assert "stops_concept" not in dataset.manifest.column_names
    violations = run_json("labels", "verify", "one", code=1)["violations"]
    assert [item["description"] for item in violations] == ["photographs missing in the store"]  # none was stored


@pytest.mark.usefixtures("labelled")
def test_multilabel_baselines_use_macro_f1() -> None:
    document = run_json("labels", "split", "one", "--target", "concept", "--group", "photographer")
    all_positive, *others = document["shortcut_baselines"]["concept"]
    assert (all_positive["name"], all_positive["metric"]) == ("all positive", "macro F1")
    # F1 of a class with share p is 2 p / (1 + p); p is 2/3, 1/3 and 1/3.
    assert all_positive["value"] == pytest.approx((4 / 5 + 1 / 2 + 1 / 2) / 3)
    assert others
    assert all(item["low"] <= item["value"] <= item["high"] for item in others)
    counts = document["counts"]["concept"]
    assert counts["animals"] == pytest.approx({"train": 32, "validation": 4, "test": 4}, abs=4)


@pytest.mark.usefixtures("labelled")
def test_manual_multilabel_annotations_are_exported_and_imported() -> None:
    run_json("labels", "set", "1.jpg", "concept=street|cats", "super-concept=cats", "--author", "ann")
    run_json("labels", "export", "tasks.json", "--target", "concept")
    (first, *_) = json.loads(Path("tasks.json").read_text(encoding="utf-8"))
    assert first["annotations"][-1]["result"][0]["value"]["choices"] == ["cats", "street"]
    assert run_json("labels", "import", "tasks.json")["existing"] == 61
    assert "allows one class per photograph" in run_error("labels", "set", "1.jpg", "camera-make=Canon|Nikon")
    assert "is empty, or begins" in run_error("labels", "set", "1.jpg", "concept=street|")


@pytest.mark.usefixtures("labelled")
def test_changed_label_is_an_advisory_of_the_next_version() -> None:
    create_dataset("--target", "concept", name="concept-v1")
    run_json("labels", "set", "2.jpg", "concept=animals|dogs", "--author", "ann")
    output = run_text("labels", "split", "concept-v2", "--target", "concept")
    assert "Changes since concept-v1:" in output
    assert "1 photograph with a different label for concept (" in output
    assert "animals → animals, dogs)" in output


def test_statistics_of_open_classes_are_sorted_by_frequency(any_catalogue: Any) -> None:
    any_catalogue.fill_once(fill_catalogue)
    classes = run_json("labels", "stats", "camera-make")["classes"]
    assert list(classes.items()) == [("Canon", 39), ("Nikon", 19), ("Leica", 2)]
    document = run_json("labels", "stats", "concept")
    assert (document["classes"], document["labelled"]) == ({"animals": 40, "dogs": 20, "street": 20}, 60)


@pytest.mark.usefixtures("labelled")
def test_multilabel_target_cannot_be_undersampled_or_exported_as_folders() -> None:
    create_dataset("--target", "concept")
    error = run_error("labels", "pack", "one", "--format", "imagefolder")
    assert "needs one target with one class per photograph" in error
    error = run_error("labels", "split", "x", "--target", "concept", "--undersample")
    assert "--undersample needs exactly one target" in error


def test_folder_names_are_concepts(project: Path, tmp_path: Path, lightmeter: CommandRunner) -> None:
    for number, folder in enumerate(("Animals/Dogs", "Animals/Dogs", "Animals/Cats", "Street")):
        file = tmp_path / "photographs" / folder / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(number))
    lightmeter("harvest", "run", "folder", tmp_path / "photographs", "--concepts-from-folders")
    targets = ("concept", "super-concept", "sub-concept")
    run_json("labels", "apply", *targets)
    assert {target: run_json("labels", "stats", target)["classes"] for target in targets} == {
        "concept": {"animals": 3, "dogs": 2, "cats": 1, "street": 1},
        "super-concept": {"animals": 3, "street": 1},
        "sub-concept": {"dogs": 2, "cats": 1},
    }
