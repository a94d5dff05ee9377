"""Manual labels: setting, removing and showing them."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from lightmeter.harvest.catalogue.models import Label
from tests.labels.annotations.helpers import add_labelled_photographs, effective_labels
from tests.support import run_error, run_json


def test_manual_label_overrides_rule_until_removed(any_catalogue: Any) -> None:
    add_labelled_photographs(any_catalogue)
    assert effective_labels("1.jpg")["medium"] == "digital"
    run_json("labels", "set", "1.jpg", "2.jpg", "medium=film", "--author", "ann")
    assert effective_labels("2.jpg") == {"medium": "film", "shutter": "1/15"}
    run_json("labels", "set", "1.jpg", "medium=", "--author", "ann")
    assert effective_labels("1.jpg")["medium"] == "digital"
    (history,) = run_json("labels", "show", "1.jpg")
    assert [(row["value"], row["origin"]) for row in history["labels"] if row["target"] == "medium"] == [
        ("digital", "rule"),
        ("film", "manual"),
        (None, "manual"),
    ]


def test_manual_label_has_number_of_class(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    run_json("labels", "set", "1.jpg", "shutter=1/250")
    (history,) = run_json("labels", "show", "1.jpg")
    assert history["labels"][-1]["number"] == -8


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["1.jpg", "medium=fim"], "did you mean film"),
        (["1.jpg", "medum=film"], "did you mean medium"),
        (["nothing.jpg", "medium=film"], "No photograph 'nothing.jpg' in the catalogue"),
        (["1.jpg"], "at least one photograph and one TARGET=CLASS"),
        (["1.jpg", "medium=film", "medium=digital"], "each target once"),
        (["E=mc².jpg", "medium=film"], "No photograph 'E=mc².jpg' in the catalogue"),
    ],
)
def test_invalid_label_raises_error_and_writes_nothing(catalogue: Any, args: list[str], message: str) -> None:
    add_labelled_photographs(catalogue)
    assert message in run_error("labels", "set", "2.jpg", *args)
    assert message in run_error("labels", "set", *args)
    assert catalogue.rows(select(func.count()).where(Label.origin == "manual")) == [(0,)]


def test_photographs_are_selected_by_hash_name_or_file(catalogue: Any, tmp_path: Path) -> None:
    add_labelled_photographs(catalogue)
    (by_name,) = run_json("labels", "show", "3.jpg")
    (by_hash,) = run_json("labels", "show", by_name["sha256"][:8])
    (tmp_path / "copy.bin").write_bytes(b"3")  # the content of the third photograph is its number
    (by_file,) = run_json("labels", "show", tmp_path / "copy.bin")
    assert by_name == by_hash == by_file


def test_all_photographs_of_a_query_are_labelled(catalogue: Any) -> None:
    add_labelled_photographs(catalogue)
    run_json("labels", "set", "1.jpg", "medium=film", "--author", "ann")
    args = ("labels", "set", "--where", "file ~ jpg", "medium=film", "--author", "ann")
    preview = run_json(*args, "--dry-run")
    assert (preview["photographs"], preview["changed"]) == (4, {"medium": 3})
    assert effective_labels("2.jpg")["medium"] == preview["replaced"]["medium"].popitem()[0] == "digital"
    assert run_json(*args)["changed"] == {"medium": 3}
    assert run_json(*args)["changed"] == {"medium": 0}
    assert {effective_labels(f"{number}.jpg")["medium"] for number in range(1, 5)} == {"film"}
    assert (
        run_json("labels", "set", "--where", "label.medium:film", "medium=", "--author", "ann")["changed"]["medium"]
        == 4
    )
    assert effective_labels("2.jpg")["medium"] == "digital"
    for wrong in (["medium=film"], ["1.jpg", "medium=film", "--where", "file ~ jpg"], ["--where", "file ~ jpg"]):
        assert "TARGET=CLASS" in run_error("labels", "set", *wrong) or "Missing argument" in run_error(
            "labels", "set", *wrong
        )
