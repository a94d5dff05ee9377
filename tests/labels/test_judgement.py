"""Labels by hand, and to and from other programs."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import Label
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.targets.registry import get_target
from tests.support import run_json


def fill(catalogue: Any) -> None:
    for index in range(4):
        catalogue.photograph(medium="digital", exposure_time_s=1 / 2 ** (index + 3))
    apply(catalogue.engine, [get_target("medium"), get_target("shutter")])


def counting(photograph: str) -> dict[str, str]:
    (found,) = run_json("labels", "show", photograph)
    return {row["target"]: row["value"] for row in found["labels"] if row["counts"]}


def test_a_label_by_hand_beats_the_rule_and_can_be_taken_back(any_catalogue: Any) -> None:
    fill(any_catalogue)
    assert counting("1.jpg")["medium"] == "digital"
    run_json("labels", "set", "1.jpg", "2.jpg", "medium=film", "--author", "ann")
    assert counting("2.jpg") == {"medium": "film", "shutter": "1/15"}
    run_json("labels", "set", "1.jpg", "medium=", "--author", "ann")
    assert counting("1.jpg")["medium"] == "digital"
    (found,) = run_json("labels", "show", "1.jpg")
    assert [(row["value"], row["origin"]) for row in found["labels"] if row["target"] == "medium"] == [
        ("digital", "rule"),
        ("film", "hand"),
        (None, "hand"),
    ]


def test_a_class_by_hand_carries_its_stops(catalogue: Any) -> None:
    fill(catalogue)
    run_json("labels", "set", "1.jpg", "shutter=1/250")
    (found,) = run_json("labels", "show", "1.jpg")
    assert found["labels"][-1]["number"] == -8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["1.jpg", "medium=fim"], "did you mean film"),
        (["1.jpg", "medum=film"], "did you mean medium"),
        (["nothing.jpg", "medium=film"], "No photograph 'nothing.jpg' in the catalogue"),
        (["1.jpg"], "at least one photograph and one TARGET=VALUE"),
        (["1.jpg", "medium=film", "medium=digital"], "each target once"),
        (["E=mc².jpg", "medium=film"], "No photograph 'E=mc².jpg' in the catalogue"),
    ],
)
def test_a_wrong_label_is_one_sentence_and_nothing_is_written(
    catalogue: Any, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    fill(catalogue)
    assert main(["labels", "set", "2.jpg", *words]) == 2 if "=" in "".join(words) else True
    assert main(["labels", "set", *words]) == 2
    assert told in capsys.readouterr().err
    assert catalogue.rows(select(func.count()).where(Label.origin == "hand")) == [(0,)]


def test_photographs_are_known_by_hash_name_or_file(catalogue: Any, tmp_path: Path) -> None:
    fill(catalogue)
    (by_name,) = run_json("labels", "show", "3.jpg")
    (by_hash,) = run_json("labels", "show", by_name["sha256"][:8])
    (tmp_path / "copy.bin").write_bytes(b"3")  # the hash of the third photograph is that of its number
    (by_file,) = run_json("labels", "show", str(tmp_path / "copy.bin"))
    assert by_name == by_hash == by_file


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_round_trip_loses_nothing(any_catalogue: Any, form: str) -> None:
    fill(any_catalogue)
    for words in (["1.jpg", "medium=film"], ["1.jpg", "medium="], ["2.jpg", "shutter=1/60"]):
        run_json("labels", "set", *words, "--author", "ann")
    whole = select(*(column for column in Label.__table__.columns if column.name != "id")).order_by(
        Label.image_id, Label.id
    )
    before = any_catalogue.rows(whole)
    assert run_json("labels", "export", f"labels.{form}")["labels"] == len(before)
    with any_catalogue.engine.begin() as connection:
        connection.execute(delete(Label))
    assert run_json("labels", "import", f"labels.{form}") == {"added": len(before), "known": 0, "strangers": 0}
    assert any_catalogue.rows(whole) == before
    assert run_json("labels", "import", f"labels.{form}")["known"] == len(before)


def test_the_newest_word_counts_however_late_it_is_imported(any_catalogue: Any) -> None:
    fill(any_catalogue)
    run_json("labels", "set", "1.jpg", "medium=film", "--author", "ann")
    (found,) = run_json("labels", "show", "1.jpg")
    columns = "sha256,target,value,origin,author,created_at"
    old = f"{found['sha256']},medium,digital,hand,ann,2020-01-01T00:00:00+00:00"
    Path("old.csv").write_text(f"{columns}\n{old}\n")
    assert run_json("labels", "import", "old.csv")["added"] == 1
    assert counting("1.jpg")["medium"] == "film"
    assert run_json("labels", "stats", "medium")["classes"] == {"digital": 3, "film": 1}
    (found,) = run_json("labels", "show", "1.jpg")
    assert [row["value"] for row in found["labels"] if row["origin"] == "hand"] == ["digital", "film"]


def test_a_query_chooses_what_is_exported(catalogue: Any) -> None:
    fill(catalogue)
    for file in ("some.csv", "some.json"):
        words = ("labels", "export", file, "--target", "shutter", "--where", "exposure_time_s > 1/20")
        assert run_json(*words)["labels"] == 2


def test_a_table_of_hashes_and_classes_is_enough(catalogue: Any) -> None:
    fill(catalogue)
    (found,) = run_json("labels", "show", "1.jpg")
    with Path("mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [("sha256", "target", "value"), (found["sha256"], "medium", "film"), ("0" * 64, "medium", "film")]
        )
    assert run_json("labels", "import", "mine.csv", "--author", "bob")["strangers"] == 1
    (found,) = run_json("labels", "show", "1.jpg")
    last = found["labels"][-1]
    assert (last["origin"], last["author"], last["value"], last["counts"]) == ("import", "bob", "film", True)


def test_what_label_studio_adds_is_read(catalogue: Any) -> None:
    fill(catalogue)
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
    changed = tasks[1]["annotations"][0]  # somebody did not agree with the rule
    changed["result"][0]["value"]["choices"] = ["film"]
    changed |= {"completed_by": 3, "updated_at": "2036-01-02T03:04:05Z"}
    Path("tasks.json").write_text(json.dumps(tasks))
    assert run_json("labels", "import", "tasks.json")["added"] == 2
    for task, author, time in ((tasks[0], "eve@example.org", "2026"), (tasks[1], "3", "2036")):
        (found,) = run_json("labels", "show", task["data"]["sha256"])
        (new,) = [row for row in found["labels"] if row["origin"] == "import"]
        assert (new["author"], new["value"], new["created_at"][:4]) == (author, "film", time)


def test_label_studio_gets_a_task_for_each_photograph_also_without_labels(catalogue: Any) -> None:
    fill(catalogue)
    assert run_json("labels", "export", "tasks.json", "--target", "iso")["labels"] == 0
    tasks = json.loads(Path("tasks.json").read_text())
    assert [task["data"]["file"] for task in tasks] == [f"{number}.jpg" for number in range(1, 5)]
    assert all(task["annotations"] == [] for task in tasks)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "sha256,target\n", "no column value"),
        ("a.csv", "sha256,target,value\nab,medium,fim\n", "row 2: Unknown class of medium 'fim'"),
        ("a.csv", "sha256,target,value,origin\nab,medium,film,head\n", "Unknown origin 'head'; did you mean hand"),
        ("a.csv", "sha256,target,value,number\nab,medium,film,much\n", "row 2"),
        ("a.json", "{", "no Label Studio export"),
        ("a.json", "[{}, 3]", "no Label Studio export"),
        ("a.txt", "", "neither .csv nor .json"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    catalogue: Any, capsys: pytest.CaptureFixture[str], name: str, content: str, told: str
) -> None:
    Path(name).write_text(content)
    assert main(["labels", "import", name]) == 2
    assert told in capsys.readouterr().err
