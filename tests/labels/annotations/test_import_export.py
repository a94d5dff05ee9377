"""Export and import of annotations as CSV and for Label Studio."""

import csv
import json
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import delete, select, update

from lightmeter.harvest.catalogue.models import Label, SightingRecord
from lightmeter.labels.annotations.label_studio import export_label_studio
from lightmeter.labels.annotations.model import PhotoAnnotations
from lightmeter.store.local import LocalStore
from tests.labels.annotations.helpers import add_labelled_photographs, effective_labels
from tests.support import run_error, run_json


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_round_trip_keeps_all_annotations(any_catalogue: Any, suffix: str) -> None:
    add_labelled_photographs(any_catalogue)
    with any_catalogue.engine.begin() as connection:
        connection.execute(update(SightingRecord).where(SightingRecord.file == "3.jpg").values(file="=1+1.jpg"))
    run_json("labels", "set", "4.jpg", "medium=film", "--author", "'@ann")
    for args in (["1.jpg", "medium=film"], ["1.jpg", "medium="], ["2.jpg", "shutter=1/60"]):
        run_json("labels", "set", *args, "--author", "ann")
    columns = (column for column in Label.__table__.columns if column.name != "id")
    query = select(*columns).order_by(Label.image_id, Label.id)
    before = any_catalogue.rows(query)
    assert run_json("labels", "export", f"labels.{suffix}")["labels"] == len(before)
    assert suffix == "json" or {"'=1+1.jpg", "''@ann"} <= set(Path("labels.csv").read_text().split(","))
    with any_catalogue.engine.begin() as connection:
        connection.execute(delete(Label))
    result = run_json("labels", "import", f"labels.{suffix}")
    assert [result[key] for key in ("added", "existing", "unknown_photographs")] == [len(before), 0, 0]
    assert any_catalogue.rows(query) == before
    assert run_json("labels", "import", f"labels.{suffix}")["existing"] == len(before)
    run_json("labels", "export", f"again.{suffix}")
    assert Path(f"again.{suffix}").read_bytes() == Path(f"labels.{suffix}").read_bytes()


def test_annotation_stored_last_is_effective_whatever_the_clock_said(any_catalogue: Any) -> None:
    add_labelled_photographs(any_catalogue)
    with any_catalogue.engine.begin() as connection:  # the clock was once a year ahead
        connection.execute(update(Label).values(created_at=datetime.now(UTC) + timedelta(days=365)))
    assert run_json("labels", "apply", "medium")["medium"]["added"] == 0
    for value in ("digital", "film"):
        run_json("labels", "set", "1.jpg", f"medium={value}", "--author", "ann")
    sha256 = sha256_of("1.jpg")
    header, times = "sha256,target,value,origin,author,created_at", ("2020-01-01T00:00:00+00:00", "2099-01-01")
    Path("a.csv").write_text("\n".join([header, *(f"{sha256},medium,digital,import,bob,{time}" for time in times)]))
    assert [run_json("labels", "import", "a.csv")["added"] for _ in range(2)] == [1, 0]  # the future is now
    assert effective_labels("1.jpg")["medium"] == "film"
    assert run_json("labels", "stats", "medium")["classes"] == {"digital": 3, "film": 1}
    (history,) = run_json("labels", "show", "1.jpg")
    assert [row["value"] for row in history["labels"] if row["origin"] == "manual"] == ["digital", "film"]
    assert all(row["created_at"] < "2099" for row in history["labels"])


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
    changed |= {"completed_by": 3, "updated_at": "2026-03-02T03:04:05Z"}
    Path("tasks.json").write_text(json.dumps(tasks))
    assert run_json("labels", "import", "tasks.json")["added"] == 2
    for task, author, month in ((tasks[0], "eve@example.org", "2026-01"), (tasks[1], "3", "2026-03")):
        (history,) = run_json("labels", "show", task["data"]["sha256"])
        (imported,) = [row for row in history["labels"] if row["origin"] == "import"]
        assert (imported["author"], imported["value"], imported["created_at"][:7]) == (author, "film", month)


def test_label_studio_export_contains_unlabelled_photographs(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    assert run_json("labels", "export", "tasks.json", "--target", "iso")["labels"] == 0
    tasks = json.loads(Path("tasks.json").read_text())
    assert [task["data"]["file"] for task in tasks] == [f"{number}.jpg" for number in range(1, 5)]
    assert all(task["annotations"] == [] for task in tasks)


def sha256_of(photograph: str) -> str:
    (history,) = run_json("labels", "show", photograph)
    return str(history["sha256"])


def test_import_again_changes_nothing(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    sha256 = sha256_of("1.jpg")
    for name, value in (("a", "film"), ("b", "digital")):
        Path(f"{name}.csv").write_text(f"sha256,target,value\n{sha256},medium,{value}\n")
    added = [run_json("labels", "import", f"{name}.csv", "--author", name)["added"] for name in "aba"]
    assert added == [1, 1, 0]
    assert effective_labels("1.jpg")["medium"] == "digital"


def test_spreadsheets_of_all_languages_are_read(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    rows = [("SHA256 ", "target", "value"), (f" {sha256_of('1.jpg').upper()} ", "medium", " FILM")]
    for delimiter, encoding in product(",;\t", ("utf-8", "utf-8-sig")):
        Path("a.CSV").write_text("".join(f"{delimiter.join(row)}\r\n" for row in rows), encoding=encoding)
        author = f"{delimiter!r} {encoding}"
        assert run_json("labels", "import", "a.CSV", "--author", author)["added"] == 1
    assert effective_labels("1.jpg")["medium"] == "film"


def test_empty_value_removes_a_label_only_on_request(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    run_json("labels", "set", "1.jpg", "medium=film", "--author", "ann")
    Path("a.csv").write_text(f"sha256,target,value,origin\n{sha256_of('1.jpg')},medium,,manual\n")
    args = ("labels", "import", "a.csv", "--author", "ann")
    result = run_json(*args)
    assert (result["added"], result["empty"], effective_labels("1.jpg")["medium"]) == (0, 1, "film")
    result = run_json(*args, "--remove-empty", "--dry-run")
    change = {"sha256": sha256_of("1.jpg"), "target": "medium", "before": "film", "after": "digital"}
    assert (result["changes"], effective_labels("1.jpg")["medium"]) == ([change], "film")
    result = run_json(*args, "--remove-empty")
    assert (result["added"], result["removed"]) == (1, 1)
    assert effective_labels("1.jpg")["medium"] == "digital"


def test_invalid_rows_are_named_and_the_others_imported(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    sha256 = sha256_of("1.jpg")
    header = "sha256,target,value,number,confidence,origin,author,created_at"
    rows = {
        "64 hexadecimal digits": "ab,medium,film,,,,,",
        "Unknown target 'medum'; did you mean medium": f"{sha256},medum,film,,,,,",
        "Unknown medium class 'fim'": f"{sha256},medium,fim,,,,,",
        "number must be a finite number": f"{sha256},shutter,1/60,inf,,,,",
        "confidence must be a number from 0 to 1": f"{sha256},medium,film,,1.5,,,",
        "origin must be manual": f"{sha256},medium,film,,,manul,,",
        "control character": f"{sha256},medium,film,,,,a\x1b[31m,",
        "'today' is not a date": f"{sha256},medium,film,,,,,today",
        "'0001-01-01T00:00:00+23:00' is not a date": f"{sha256},medium,film,,,,,0001-01-01T00:00:00+23:00",
        "more cells than the header; quote cells that contain ','": f"{sha256},medium,film,,0,5,import,ann,2020-01-01",
        "Row 13 has another class": f"{sha256},medium,digital,,,,,",
        "": f"{sha256},medium,film,,,,,",
    }
    Path("a.csv").write_text("\n".join([header, *rows.values()]))
    result = run_json("labels", "import", "a.csv", code=1)
    assert (result["added"], [row["row"] for row in result["refused"]]) == (1, list(range(2, 13)))
    for row, message in zip(result["refused"], rows, strict=False):
        assert message in row["reason"]


def test_label_studio_tasks_are_read_as_far_as_they_are_labels(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    hashes = [sha256_of(f"{number}.jpg") for number in range(1, 5)]
    choice = {"from_name": "medium", "type": "choices", "value": {"choices": ["film"]}}
    other = {"from_name": "quality", "type": "rating", "value": {"rating": 3}}
    tasks = [
        {"data": {"sha256": hashes[0]}, "annotations": [{"was_cancelled": True, "result": [choice]}]},
        {"data": {"sha256": hashes[1]}, "annotations": [{"result": [other, choice]}]},
        {"data": {"sha256": None}, "annotations": [{"result": [choice]}]},
        {"sha256": hashes[2], "id": 7, "image": "x", "annotator": 3, "medium": "film", "quality": 2},
        {"sha256": hashes[3], "medium": {"choices": ["film"]}},
        "no task",
    ]
    Path("a.json").write_text(json.dumps(tasks), encoding="utf-8-sig")
    result = run_json("labels", "import", "a.json", code=1)
    assert [result[key] for key in ("added", "skipped", "ignored")] == [3, 1, {"quality": 2}]
    assert [row["row"] for row in result["refused"]] == [3, 6]
    assert [effective_labels(name)["medium"] for name in ("1.jpg", "2.jpg", "3.jpg")] == ["digital", "film", "film"]
    Path("boxes.json").write_text(json.dumps([{"data": {"sha256": hashes[0]}, "annotations": [{"result": [other]}]}]))
    assert "its controls are quality (1)" in run_error("labels", "import", "boxes.json")


@pytest.mark.parametrize("name", ["R&D #1 100%+", "plain"])
def test_label_studio_finds_the_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    store = LocalStore(tmp_path / name)
    photo = PhotoAnnotations("ab" * 32, "1.jpg", None, ())
    export_label_studio([photo], tmp_path / "tasks.json", store)
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    (path,) = parse_qs(urlsplit(task["data"]["image"]).query)["d"]
    assert f"/{path}" == store.location(photo.sha256)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "sha256,target\n", "no column value"),
        ("a.csv", "sha256,target,value\n\xff", "not a CSV file in UTF-8"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", "{}", "must be a list of tasks"),
        ("a.txt", "", "neither .csv or .tsv nor .json"),
        ("a.csv", "name,medium\n", "no column that names photographs"),
        ("a.csv", "file,medum\n", "did you mean medium"),
        ("a.csv", "sha256,File,file,medium\n", "more than one column file"),
    ],
)
def test_invalid_file_raises_error(catalogue: Any, name: str, content: str, message: str) -> None:
    Path(name).write_text(content, encoding="latin-1")
    assert message in run_error("labels", "import", name)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_device_is_not_imported(catalogue: Any, tmp_path: Path, device: str) -> None:
    (tmp_path / "labels.csv").symlink_to(device)
    assert "it is no regular file" in run_error("labels", "import", tmp_path / "labels.csv")


def test_tables_name_photographs_as_people_do(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    with catalogue.engine.begin() as connection:
        for number, file in {"1": "rome/a.jpg", "2": "oslo/a.jpg", "3": "Über #3.JPG", "4": "4.jpg"}.items():
            connection.execute(update(SightingRecord).where(SightingRecord.source_id == number).values(file=file))
    run_json("labels", "target", "new", "indoor", "--classes", "indoor,outdoor")
    rows = [
        "/home/ann/rome/a.jpg,film,indoor,x", "u\u0308ber #3,,outdoor,y", "4,film,,", "a.jpg,film,indoor,", "b.jpg,film,,"
    ]  # fmt: skip
    Path("a.csv").write_text("\n".join(["File;Medium;Indoor;Remark", *(row.replace(",", ";") for row in rows)]))
    result = run_json("labels", "import", "a.csv", "--author", "ann", "--dry-run", code=1)
    assert (result["added"], result["unknown"], result["ignored"]) == (4, ["b.jpg"], {"remark": 2})
    assert result["matched"] == {"file": 1, "similar file": 1, "source id": 1}
    assert [row["row"] for row in result["refused"]] == [5, 5]
    assert "is the name of 2 photographs (oslo/a.jpg, rome/a.jpg)" in result["refused"][0]["reason"]
    assert "indoor" not in effective_labels("rome/a.jpg")
    assert run_json("labels", "import", "a.csv", "--author", "ann", code=1)["added"] == 4
    assert effective_labels("rome/a.jpg")["indoor"] == "indoor"
    assert effective_labels("4.jpg")["medium"] == "film"


def test_label_studio_projects_of_others_name_images(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    run_json("labels", "target", "new", "stars", "--rating", "5")
    run_json("labels", "target", "new", "note", "--text")
    results = [
        {"from_name": "stars", "type": "rating", "value": {"rating": 4}},
        {"from_name": "note", "type": "textarea", "value": {"text": ["a house"]}},
        {"from_name": "medium", "type": "rectanglelabels", "value": {"x": 1}},
    ]
    task = {"data": {"image": "/data/upload/7/1.jpg?x=1"}, "annotations": [{"result": results}]}
    Path("a.json").write_text(json.dumps([task]))
    result = run_json("labels", "import", "a.json")
    assert (result["added"], result["ignored"]) == (2, {"medium (rectanglelabels)": 1})
    minimal = {"sha256": sha256_of("2.jpg"), "stars": [{"rating": 3}], "note": ["a tree"], "boxes": [{"x": 1}]}
    Path("min.json").write_text(json.dumps([minimal]))
    result = run_json("labels", "import", "min.json")
    assert (result["added"], result["ignored"]) == (2, {"boxes": 1})
    assert effective_labels("2.jpg").items() >= {("stars", "3"), ("note", "a tree")}
    assert effective_labels("1.jpg").items() >= {("stars", "4"), ("note", "a house")}
    run_json("labels", "export", "view.xml")
    view = ET.parse("view.xml").getroot()
    controls = {element.get("name"): element.tag for element in view}
    assert controls.items() >= {("stars", "Rating"), ("note", "TextArea"), ("medium", "Choices"), ("image", "Image")}
