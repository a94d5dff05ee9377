"""Splits that others can repeat."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lightmeter.labels.datasets.dataset import read_dataset
from tests.labels.datasets.helpers import add_photographers, create_dataset
from tests.support import run_error, run_json

TARGET = ("--target", "shutter-binary")


def read(file: str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8", newline="") as data:
        return list(csv.DictReader(data))


def write(file: str, rows: list[dict[str, str]], columns: tuple[str, ...]) -> None:
    with Path(file).open("w", encoding="utf-8-sig", newline="") as data:
        writer = csv.DictWriter(data, columns, extrasaction="ignore", delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def test_published_split_is_repeated_by_hash_and_by_id(catalogue: Any) -> None:
    add_photographers(catalogue)
    dataset = create_dataset()
    document = run_json("labels", "split", "one", *TARGET, "--ids-only")
    assert document["photographs"] == 60
    rows = read(document["file"])
    assert list(rows[0]) == ["source", "source_id", "page_url", "split", "label", "sha256"]
    assert not Path("one").exists()
    shown = {row["sha256"]: (row["split"], row["label_shutter-binary"]) for row in dataset.rows()}
    assert {row["sha256"]: (row["split"], row["label"]) for row in rows} == shown

    write(
        "ids.csv",
        [{**row, "split": row["split"].replace("idation", "")} for row in rows],
        ("source", "source_id", "split"),
    )
    assert "labels published-split FOLDER" in run_error("labels", "split", "two", *TARGET, "--like", "flickr-exif")
    Path("one.csv").rename("flickr-exif.csv")
    for file in ("flickr-exif", "ids.csv"):
        repeated = run_json("labels", "split", f"like-{file[:3]}", *TARGET, "--like", file)
        manifest = read_dataset(Path(repeated["path"])).manifest
        assert manifest.equals(dataset.manifest)
        run_json("labels", "split", f"like-{file[:3]}", *TARGET, "--like", file)
    card = (Path(repeated["path"]) / "README.md").read_text(encoding="utf-8")
    assert "The splits are those of ids.csv" in card
    assert "Ratios" not in card


def test_unknown_photographs_and_leaks_are_named(catalogue: Any) -> None:
    add_photographers(catalogue, photographers=2, each=10)
    rows = [
        {"source": "folder", "source_id": str(number), "split": ("train", "test")[number % 3 == 0]}
        for number in range(1, 23)
    ]
    write("ids.csv", rows, ("source", "source_id", "split"))
    document = run_json("labels", "split", "one", *TARGET, "--like", "ids.csv")
    assert document["unknown_ids"] == ["folder:21", "folder:22"]
    texts = " ".join(document["advisories"])
    assert "Not in the catalogue: 2 photographs of ids.csv (folder:21, folder:22)." in texts
    assert "The published split leaks: 2 of 2 groups" in texts
    assert Counter(row["split"] for row in read_dataset(Path(document["path"])).rows()) == {"train": 14, "test": 6}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the column split"),
        ("sha256,where\n", "needs the column split"),
        ("source,source_id,split\nfolder,1,holdout\n", "row 2: 'holdout' is no split"),
        ("source,source_id,split\nfolder,1,test\nfolder,1,train\n", "row 3: the photograph"),
        ("source,source_id,split\nfolder,,test\n", "row 2: the photograph has neither"),
        ("source,source_id,split\nfolder,x,test\n", "is in the catalogue. Harvest"),
        ("source,source_id,split\nfolder,\xff,test\n", "is not a table of a split"),
    ],
)
def test_invalid_table_is_an_error(catalogue: Any, text: str, message: str) -> None:
    catalogue.photograph()
    Path("ids.csv").write_bytes(text.encode("latin-1"))
    assert message in " ".join(run_error("labels", "split", "one", *TARGET, "--like", "ids.csv").split())


def test_options_that_a_table_decides_are_refused(catalogue: Any) -> None:
    Path("ids.csv").touch()
    error = run_error("labels", "split", "one", *TARGET, "--like", "ids.csv", "--seed", "1")
    assert "--like excludes --seed" in error
    assert "--ids-only excludes --folds" in run_error("labels", "split", "one", *TARGET, "--ids-only", "--folds", "3")
