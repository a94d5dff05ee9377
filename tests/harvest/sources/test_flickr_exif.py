"""Tests of the source ``flickr-exif`` and of its published splits, on made-up split files."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("flickrapi")

from lightmeter.errors import UsageError
from lightmeter.harvest.exif.normalise import normalise
from lightmeter.harvest.sources.base import Checkpoint, Sighting
from lightmeter.harvest.sources.flickr_exif import FlickrExif
from lightmeter.settings import Settings
from tests.harvest.sources.api import serve_api
from tests.support import HttpRequest, HttpResponse, run_error, run_json

APERTURE = {
    "target_attribute": "Aperture",
    "label_encoder_classes": ["1.8", "8.0"],
    "train_ids": [11, 12, 13],
    "encoded_train_labels": [0, 1, 1],
    "val_ids": [14],
    "encoded_val_labels": [0],
    "test_ids": [15, 16],
    "encoded_test_labels": [1, 0],
}
MODEL = {
    "target_attribute": "Model",
    "label_encoder_classes": ["NIKON D70", "iPhone X"],
    "train_ids": [11, 15, 17],
    "encoded_train_labels": [0, 0, 1],
    "val_ids": [12],
    "encoded_val_labels": [1],
    "test_ids": [17, 18],
    "encoded_test_labels": [1, 0],
}
"""15 tests the aperture and trains the model, 12 changes between training and validation, 17 trains and tests the model."""


def write_splits(folder: Path, **changes: Any) -> Path:
    for name, content in (("Aperture", APERTURE | changes), ("Model", MODEL)):
        (folder / f"split_data_target_attribute={name}.json").write_text(json.dumps(content))
    return folder


def rows(file: Path) -> dict[str, tuple[str, ...]]:
    with file.open() as lines:
        return {row[1]: tuple(row[2:]) for row in csv.reader(lines)}


def discover(**query: Any) -> list[Sighting]:
    items = list(FlickrExif(Settings()).discover(FlickrExif.Query(**query), None))
    return [item for item in items if isinstance(item, Sighting)]


def flickr(request: HttpRequest) -> HttpResponse:
    """Answer as Flickr's API does; it shows EXIF of photograph 11 alone, and 13 is gone."""
    number = request.params["photo_id"]
    if number == "13":
        return HttpResponse({"stat": "fail", "code": 1, "message": "Photo not found"})
    source = f"https://live.staticflickr.com/65535/{number}_def_o.jpg"
    exif = {"exif": [{"tagspace": "ExifIFD", "tag": "FNumber", "raw": {"_content": "f/2.0"}}]}
    hidden = {"stat": "fail", "code": 2, "message": "Permission denied"}
    answers: dict[str, dict[str, Any]] = {
        "flickr.photos.getInfo": {"photo": {"license": "4", "owner": {"nsid": f"{number}@N00"}}, "stat": "ok"},
        "flickr.photos.getSizes": {"sizes": {"size": [{"source": source}]}, "stat": "ok"},
        "flickr.photos.getExif": {"photo": exif, "stat": "ok"} if number == "11" else hidden,
    }
    return HttpResponse(answers[request.params["method"]])


def test_photographs_have_labels_owners_and_licences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"Flickr ID": [13, 99], "owner": ["ada", "ben"]})
    pq.write_table(table, tmp_path / "rows.parquet")
    with serve_api(flickr) as api:
        for name, value in {"KEY": "k", "SECRET": "s", "URL": api.url}.items():
            monkeypatch.setenv(f"FLICKR_API_{name}", value)
        items = discover(splits=write_splits(tmp_path), parquet=tmp_path / "rows.parquet")
        only = discover(splits=tmp_path, attributes="model")
    photos = {item.source_id: item for item in items}
    assert sorted(photos) == ["11", "12", "13", "14", "15", "16", "17", "18"]
    assert [item.source_id for item in items] != sorted(photos)  # a random order
    assert sorted(item.source_id for item in only) == ["11", "12", "15", "17", "18"]
    assert (photos["12"].owner, photos["12"].licence) == ("12@N00", "CC-BY-2.0")
    assert photos["12"].media_url == "https://live.staticflickr.com/65535/12_def_o.jpg"
    assert photos["12"].metadata["flickr_exif"] == [
        {"attribute": "aperture", "split": "train", "label": "8.0"},
        {"attribute": "model", "split": "validation", "label": "iPhone X"},
    ]
    assert normalise(photos["11"].exif or {}).f_number == 2.0  # Flickr's own EXIF counts
    assert normalise(photos["12"].exif or {}).f_number == 8.0  # else the label
    assert (photos["13"].owner, photos["13"].gone) == ("ada", "not on Flickr: Error: 1: Photo not found")


def test_split_of_one_attribute_has_labels(tmp_path: Path) -> None:
    out = tmp_path / "aperture.csv"
    command = ("labels", "published-split", write_splits(tmp_path), "--attribute", "aperture", "--out", out)
    assert run_json(*command)["photographs"] == 6
    assert rows(out)["source_id"] == ("split", "label")
    assert rows(out)["14"] == ("validation", "1.8")
    assert rows(out)["15"] == ("test", "8.0")
    assert list(rows(tmp_path / "aperture-excluded.csv")) == ["source_id"]


def test_photographs_in_different_splits_are_named_and_left_out(tmp_path: Path) -> None:
    result = run_json("labels", "published-split", write_splits(tmp_path), "--out", tmp_path / "all.csv")
    assert (result["photographs"], result["excluded"], result["train_and_test"]) == (5, 3, 1)
    assert sorted(rows(tmp_path / "all.csv")) == ["11", "13", "14", "16", "18", "source_id"]
    assert rows(tmp_path / "all.csv")["source_id"] == ("split", "label_aperture", "label_model")
    assert rows(tmp_path / "all.csv")["11"] == ("train", "1.8", "NIKON D70")
    assert rows(tmp_path / "all.csv")["18"] == ("test", "", "NIKON D70")
    excluded = rows(tmp_path / "all-excluded.csv")
    assert excluded["15"] == ("aperture:test model:train",)
    assert excluded["17"] == ("model:train model:test",)


def test_discovery_resumes_at_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "lightmeter.harvest.sources.flickr_exif.source.item_by_id", lambda _client, number, _medium: Sighting(number)
    )
    ids = list(range(250))
    write_splits(tmp_path, train_ids=ids, encoded_train_labels=[0] * 250)
    query = FlickrExif.Query(splits=tmp_path, attributes="aperture")
    items = list(FlickrExif(Settings()).discover(query, None))
    first = next(index for index, item in enumerate(items) if isinstance(item, Checkpoint))
    resumed = FlickrExif(Settings()).discover(query, items[first].cursor)  # type: ignore[union-attr]
    assert list(resumed) == items[first + 1 :]


@pytest.mark.parametrize(
    "changes",
    [
        {"train_ids": [1]},
        {"encoded_train_labels": [0, 1, 2]},
        {"encoded_train_labels": [0, 1, -1]},
        {"train_ids": ["11", "12", True]},
        {"label_encoder_classes": None},
    ],
)
def test_other_split_files_raise_an_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    error = run_error("labels", "published-split", write_splits(tmp_path, **changes), "--out", tmp_path / "x.csv")
    assert "is no split file of FlickrExif" in error
    assert not (tmp_path / "x.csv").exists()


def test_wrong_names_and_files_raise_an_error(tmp_path: Path) -> None:
    assert "data/splits/FlickrExif" in run_error("labels", "published-split", tmp_path)
    assert "aperture" in run_error("labels", "published-split", tmp_path, "--attribute", "apertur")
    with pytest.raises(ValueError, match="iso-speed"):
        FlickrExif.Query(splits=tmp_path, attributes="iso")
    pq.write_table(pa.table({"Flickr ID": [13]}), tmp_path / "rows.parquet")
    query = {"splits": write_splits(tmp_path), "parquet": tmp_path / "rows.parquet"}
    with pytest.raises(UsageError, match=r"needs the columns .* it has Flickr ID"):
        discover(**query)
    (tmp_path / "rows.parquet").write_bytes(b"no Parquet")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        discover(**query)
