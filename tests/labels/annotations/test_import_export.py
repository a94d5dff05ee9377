"""Export and import of annotations as CSV and for Label Studio."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from lightmeter.harvest.catalogue.models import Label
from tests.labels.annotations.helpers import add_labelled_photographs, effective_labels
from tests.support import run_error, run_json


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_round_trip_keeps_all_annotations(any_catalogue: Any, suffix: str) -> None:
    add_labelled_photographs(any_catalogue)
    for args in (["1.jpg", "medium=film"], ["1.jpg", "medium="], ["2.jpg", "shutter=1/60"]):
        run_json("labels", "set", *args, "--author", "ann")
    columns = (column for column in Label.__table__.columns if column.name != "id")
    query = select(*columns).order_by(Label.image_id, Label.id)
    before = any_catalogue.rows(query)
    assert run_json("labels", "export", f"labels.{suffix}")["labels"] == len(before)
    with any_catalogue.engine.begin() as connection:
        connection.execute(delete(Label))
    result = run_json("labels", "import", f"labels.{suffix}")
    assert result == {"added": len(before), "existing": 0, "unknown_photographs": 0}
    assert any_catalogue.rows(query) == before
    assert run_json("labels", "import", f"labels.{suffix}")["existing"] == len(before)


def test_newest_annotation_is_effective_regardless_of_import_order(any_catalogue: Any) -> None:
    add_labelled_photographs(any_catalogue)
    run_json("labels", "set", "1.jpg", "medium=film", "--author", "ann")
    (history,) = run_json("labels", "show", "1.jpg")
    header = "sha256,target,value,origin,author,created_at"
    row = f"{history['sha256']},medium,digital,manual,ann,2020-01-01T00:00:00+00:00"
    Path("old.csv").write_text(f"{header}\n{row}\n")
    assert run_json("labels", "import", "old.csv")["added"] == 1
    assert effective_labels("1.jpg")["medium"] == "film"
    assert run_json("labels", "stats", "medium")["classes"] == {"digital": 3, "film": 1}
    (history,) = run_json("labels", "show", "1.jpg")
    assert [row["value"] for row in history["labels"] if row["origin"] == "manual"] == ["digital", "film"]


def test_export_respects_query(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    for file in ("labels.csv", "labels.json"):
        args = ("labels", "export", file, "--target", "shutter", "--where", "exposure_time_s > 1/20")
        assert run_json(*args)["labels"] == 2


def test_csv_needs_only_hash_target_and_value(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    (history,) = run_json("labels", "show", "1.jpg")
    with Path("labels.csv").open("w", newline="") as file:
        rows = [("sha256", "target", "value"), (history["sha256"], "medium", "film"), ("0" * 64, "medium", "film")]
        csv.writer(file).writerows(rows)
    assert run_json("labels", "import", "labels.csv", "--author", "bob")["unknown_photographs"] == 1
    (history,) = run_json("labels", "show", "1.jpg")
    last = history["labels"][-1]
    assert (last["origin"], last["author"], last["value"], last["effective"]) == ("import", "bob", "film", True)


def test_zero_confidence_and_number_are_imported(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    (history,) = run_json("labels", "show", "1.jpg")
    header = "sha256,target,value,number,origin,confidence"
    Path("labels.csv").write_text(f"{header}\n{history['sha256']},shutter,1/2,0.0,model,0.0\n")
    run_json("labels", "import", "labels.csv")
    query = select(Label.number, Label.confidence).where(Label.origin == "model")
    assert catalogue.rows(query) == [(0.0, 0.0)]


def test_annotations_made_in_label_studio_are_imported(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    run_json("labels", "export", "tasks.json", "--target", "medium")
    tasks = json.loads(Path("tasks.json").read_text())
    assert tasks[0]["data"]["image"].startswith("/data/local-files/?d=")
    tasks[0]["annotations"].append(
        {
            "completed_by": {"id": 7, "email": "eve@example.org"},
            "created_at": "2026-01-02T03:04:05Z",
            "result": [{"from_name": "medium", "to_name": "image", "type": "choices", "value": {"choices": ["film"]}}],
        }
    )
    changed = tasks[1]["annotations"][0]  # an annotator changed the label of the rule
    changed["result"][0]["value"]["choices"] = ["film"]
    changed |= {"completed_by": 3, "updated_at": "2036-01-02T03:04:05Z"}
    Path("tasks.json").write_text(json.dumps(tasks))
    assert run_json("labels", "import", "tasks.json")["added"] == 2
    for task, author, year in ((tasks[0], "eve@example.org", "2026"), (tasks[1], "3", "2036")):
        (history,) = run_json("labels", "show", task["data"]["sha256"])
        (imported,) = [row for row in history["labels"] if row["origin"] == "import"]
        assert (imported["author"], imported["value"], imported["created_at"][:4]) == (author, "film", year)


def test_label_studio_export_contains_unlabelled_photographs(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    assert run_json("labels", "export", "tasks.json", "--target", "iso")["labels"] == 0
    tasks = json.loads(Path("tasks.json").read_text())
    assert [task["data"]["file"] for task in tasks] == [f"{number}.jpg" for number in range(1, 5)]
    assert all(task["annotations"] == [] for task in tasks)


_TASK = '[{"data": {"sha256": "ab"}, "annotations": [{"created_at": 7, "result": [%s]}]}]'
_CHOICE = '{"type": "choices", "from_name": "medium", "value": {"choices": ["film"]}}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "sha256,target\n", "no column value"),
        ("a.csv", "sha256,target,value\nab,medium,fim\n", "row 2: Unknown medium class 'fim'"),
        ("a.csv", "sha256,target,value,origin\nab,medium,film,manul\n", "Unknown origin 'manul'; did you mean manual"),
        ("a.csv", "sha256,target,value,number\nab,medium,film,much\n", "row 2"),
        ("a.csv", "sha256,target,value,created_at\nab,medium,film,today\n", "row 2"),
        ("a.json", "{", "is not a Label Studio export"),
        ("a.json", "[{}, 3]", "is not a Label Studio export"),
        ("a.json", _TASK % _CHOICE, "row 1"),
        ("a.txt", "", "neither .csv nor .json"),
    ],
)
def test_invalid_file_raises_error(catalogue: Any, name: str, content: str, message: str) -> None:
    Path(name).write_text(content)
    assert message in run_error("labels", "import", name)
