"""Audits of data sets that other programs made."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PillowImage

from tests.support import encode_image, exif_tags, run_error, run_json


def picture(seed: int, *, quality: bool = False, **tags: Any) -> bytes:
    """Return a photograph of noise; with `quality` a copy in another format."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = PillowImage.fromarray(pixels).resize((128, 128), PillowImage.Resampling.BICUBIC)
    if quality:
        output = io.BytesIO()
        image.save(output, "PNG")
        return output.getvalue()
    return encode_image(image, exif=exif_tags({}, **tags))


PHOTOGRAPHS = [
    ("train", "1.jpg", picture(1), "Ann Lee"),
    ("train", "2.jpg", picture(2), "Bob"),
    ("validation", "3.png", picture(1, quality=True), "Cid"),
    ("test", "4.jpg", picture(4), "ann  lee"),
    ("test", "5.jpg", picture(5), "Dan"),
]


def write_folder(folder: Path) -> Path:
    for split, name, data, _ in PHOTOGRAPHS:
        file = folder / {"validation": "val"}.get(split, split) / "fast" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder


def write_folder_with_metadata(folder: Path) -> Path:
    write_folder(folder)
    rows = [
        {"file_name": f"{split.replace('idation', '')}/fast/{name}", "owner": owner}
        for split, name, _, owner in PHOTOGRAPHS
    ]
    pq.write_table(pa.Table.from_pylist(rows[:2]), folder / "metadata.parquet")
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[2:]))
    return folder


def write_parquet(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows = [
            {"image": {"bytes": data, "path": name}, "photographer": owner}
            for name_of_split, name, data, owner in PHOTOGRAPHS
            if name_of_split == split
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def write_table(folder: Path) -> Path:
    write_folder(folder)
    with (folder / "all.csv").open("w", encoding="utf-8-sig", newline="") as text:
        writer = csv.writer(text, delimiter=";")
        writer.writerow(["Path", "label", "Split", "Owner"])
        for split, name, _, owner in PHOTOGRAPHS:
            writer.writerow([f"{split.replace('idation', '')}/fast/{name}", "fast", split.upper(), owner])
    return folder / "all.csv"


@pytest.mark.parametrize("kind", ["folder", "folder with metadata", "parquet", "table"])
def test_leaks_are_found_in_data_sets_of_every_kind(tmp_path: Path, kind: str) -> None:
    writers = {
        "folder": write_folder,
        "folder with metadata": write_folder_with_metadata,
        "parquet": write_parquet,
        "table": write_table,
    }
    result = run_json("labels", "verify", writers[kind](tmp_path / "set"), code=1)
    assert result["photographs"] == {"train": 2, "validation": 1, "test": 2}
    violations = {violation["description"]: violation for violation in result["violations"]}
    owners = set() if kind == "folder" else {"photographers in several splits"}
    assert set(violations) == owners | {"near-duplicates in several splits"}
    assert "1.jpg" in str(violations["near-duplicates in several splits"]["examples"]) or kind == "parquet"
    assert result["with_owner"] == (0 if kind == "folder" else 5)


def test_clean_data_set_is_valid_and_damaged_files_are_named(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("train", 2), ("test", 3)):
        (tmp_path / "set" / split).mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / split / f"{seed}.jpg").write_bytes(picture(seed))
    assert run_json("labels", "verify", tmp_path / "set")["valid"]
    (tmp_path / "set" / "test" / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"no photograph")
    (tmp_path / "set" / "test" / "1.jpg").write_bytes(picture(1))
    violations = run_json("labels", "verify", tmp_path / "set", code=1)["violations"]
    texts = {violation["description"]: violation["examples"] for violation in violations}
    assert texts["unreadable photographs"] == ["test/bad\udcff.jpg: not an image"]
    assert texts["identical files in several splits"] == ["test/1.jpg and train/1.jpg"]


def test_photographers_and_camera_bodies_come_from_exif(tmp_path: Path) -> None:
    for split, seed, artist, serial in (
        ("train", 1, "Ann", "7123"),
        ("test", 2, "Bob", "7123"),
        ("dev", 3, "ann", "9301"),
    ):
        exif = exif_tags({0xA431: serial}, make="Canon", model="EOS R5")
        exif[0x013B] = artist
        with PillowImage.open(io.BytesIO(picture(seed))) as image:
            (tmp_path / split).mkdir()
            (tmp_path / split / "1.jpg").write_bytes(encode_image(image, exif=exif))
    result = run_json("labels", "verify", tmp_path, code=1)
    assert (result["with_owner"], result["with_body"]) == (3, 3)
    assert {violation["description"]: violation["examples"] for violation in result["violations"]} == {
        "photographers in several splits": ["dev/1.jpg and train/1.jpg"],
        "camera bodies in several splits": ["test/1.jpg and train/1.jpg"],
    }


def test_what_is_no_data_set_is_an_error(tmp_path: Path) -> None:
    assert "has no photographs in splits" in run_error("labels", "verify", str(tmp_path))
    (tmp_path / "x.csv").write_text("path\n1.jpg\n", encoding="utf-8")
    assert "needs the columns split and path" in run_error("labels", "verify", str(tmp_path / "x.csv"))


def test_what_is_no_image_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path,split\n\0,train\n/dev/zero,test\n", encoding="utf-8")
    table = pa.table({"image": [[1, 2], [3]]})
    pq.write_table(table, tmp_path / "train.parquet")
    for path in (tmp_path / "x.csv", tmp_path):
        violations = run_json("labels", "verify", path, code=1)["violations"]
        assert {item["description"]: item["count"] for item in violations}["unreadable photographs"] == 2
