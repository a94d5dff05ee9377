"""Packs, read back with the libraries that they are for."""

import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from sqlalchemy import insert, select, update

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import Image, Region
from lightmeter.harvest.store import PhotoStore
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.datasets.dataset import SPLITS, Dataset, crop_of, read_dataset
from lightmeter.labels.datasets.export.samples import crop_bytes, may_be_shared
from lightmeter.labels.targets.registry import get_target
from tests.support import run_json


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    """Thirty drawn photographs in ten groups; two may not be passed on."""
    store = PhotoStore(catalogue.project.store, catalogue.project.state / "aside")
    for index in range(30):
        image = catalogue.photograph(
            owner=str(index // 3),
            exposure_time_s=(1 / 1000, 1 / 15)[index % 2],
            concepts=(["street"], ["street", "night"])[index % 2],
            licence=None if index == 4 else "All rights reserved" if index == 5 else "CC-BY-4.0",
        )
        out = io.BytesIO()
        Picture.new("RGB", (64, 48), (index * 8, 100, 50)).save(out, "JPEG")
        sha256 = hashlib.sha256(out.getvalue()).hexdigest()
        store.put(sha256, out.getvalue())
        with catalogue.engine.begin() as connection:
            connection.execute(update(Image).where(Image.id == image).values(sha256=sha256))
    apply(catalogue.engine, [get_target("shutter"), get_target("concept")])
    assert main(["labels", "split", "one", "--target", "shutter"]) == 0
    return read_dataset(catalogue.project.datasets / "one")


def pack(form: str, *options: str, name: str = "one") -> Any:
    return run_json("labels", "pack", name, "--format", form, *options)


def sides_of(dataset: Dataset) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for row in dataset.rows():
        sides.setdefault(row["sha256"], set()).add(row["split"])
    return sides


def truth(dataset: Dataset, side: str) -> dict[str, str]:
    free = [row for row in dataset.rows(side) if row["licence"] == "CC-BY-4.0"]
    return {row["sha256"]: row["label_shutter"] for row in free}


# webdataset leaves its shards open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_shards_hold_the_original_bytes(dataset: Dataset) -> None:
    webdataset = pytest.importorskip("webdataset")
    found = pack("webdataset")
    assert (sum(found["pictures"].values()), found["withheld"]) == (28, 2)
    for side in SPLITS:
        shards = [str(file) for file in sorted(Path(found["folder"]).glob(f"{side}-*.tar"))]
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        facts = [json.loads(sample["json"]) for sample in samples]
        assert {one["sha256"]: one["labels"]["shutter"] for one in facts} == truth(dataset, side)
        for sample in samples:
            assert hashlib.sha256(sample["jpg"]).hexdigest() == sample["__key__"]


def test_parquet_is_a_hugging_face_data_set(dataset: Dataset, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    found = pack("parquet", "--any-licence")
    assert (sum(found["pictures"].values()), found["withheld"]) == (30, 0)
    files = {side: f"{found['folder']}/data/{side}.parquet" for side in SPLITS}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {side: len(loaded[side]) for side in SPLITS} == dataset.spec.counts
    labels = loaded["train"].features["label_shutter"]
    assert tuple(labels.names) == dataset.spec.targets[0].classes
    first = loaded["train"][0]
    assert first["image"].size == (64, 48)
    by_hash = {row["sha256"]: row["label_shutter"] for row in dataset.rows()}
    assert labels.int2str(first["label_shutter"]) == by_hash[first["sha256"]]


def test_several_classes_are_lists_of_class_labels(dataset: Dataset, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    assert main(["labels", "split", "two", "--target", "concept", "--target", "shutter", "--least", "5"]) == 0
    found = pack("parquet", "--any-licence", name="two")
    files = {"train": f"{found['folder']}/data/train.parquet"}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
    names = loaded.features["label_concept"].feature.names
    assert names == ["night", "street"]
    known = {row["sha256"]: row["label_concept"] for row in read_dataset(Path("datasets/two")).rows()}
    for one in loaded:
        assert [names[number] for number in one["label_concept"]] == known[one["sha256"]]
    facts = pack("webdataset", "--any-licence", name="two")
    with tarfile.open(next(Path(facts["folder"]).glob("train-*.tar"))) as shard:
        (first, *_) = (json.load(shard.extractfile(name)) for name in shard.getnames() if name.endswith(".json"))
    assert first["labels"]["concept"] == known[first["sha256"]]


def test_folders_stand_for_classes(dataset: Dataset) -> None:
    found = pack("imagefolder")
    for side in SPLITS:
        files = list((Path(found["folder"]) / side).glob("*/*.jpg"))
        assert Counter(file.parent.name for file in files) == Counter(
            name.replace("/", "-") for name in truth(dataset, side).values()
        )
    thanks = (Path(found["folder"]) / "ATTRIBUTION.csv").read_text(encoding="utf-8")
    assert thanks.count("CC-BY-4.0") == 28
    assert "All rights reserved" not in thanks


def test_crops_are_lossless_and_those_by_hand_count(
    catalogue: Any, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    images = catalogue.rows(select(Image.id, Image.sha256).order_by(Image.id))
    box = {"kind": "face", "width": 20, "height": 10, "y": 7}
    rows = [{**box, "image_id": image, "origin": "faces", "x": x} for image, _ in images[:28] for x in (0, 40)]
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Region), [*rows, {**box, "image_id": images[0][0], "origin": "manual", "x": 5}])
    capsys.readouterr()
    assert main(["labels", "split", "faces", "--target", "shutter", "--crop", "face"]) == 0
    assert "2 photographs with a label are left out: there is no face in them" in capsys.readouterr().out
    faces = read_dataset(catalogue.project.datasets / "faces")
    assert faces.manifest.num_rows == 1 + 2 * 27
    for side in sides_of(faces).values():
        assert len(side) == 1
    found = pack("imagefolder", name="faces")
    assert (sum(found["pictures"].values()), found["withheld"]) == (1 + 2 * 25, 4)
    sha256 = images[0][1]
    (by_hand,) = Path(found["folder"]).glob(f"*/*/{sha256}-*.png")
    with Picture.open(dataset.store / sha256[:2] / sha256) as whole, Picture.open(by_hand) as part:
        assert part.tobytes() == whole.crop((5, 7, 25, 17)).tobytes()
    second = images[1][1]
    assert {file.name for file in Path(found["folder"]).glob(f"*/*/{second}-*.png")} == {
        f"{second}-0.png", f"{second}-1.png",
    }  # fmt: skip
    assert main(["labels", "split", "--check", "faces"]) == 0


@pytest.mark.parametrize("mode", ["I;16", "LA", "P", "CMYK"])
def test_a_crop_keeps_every_bit_and_how_the_picture_is_turned(mode: str) -> None:
    out = io.BytesIO()
    picture = Picture.linear_gradient("L").convert("I;16" if mode == "I;16" else "RGB")
    if mode == "I;16":
        picture = picture.point(lambda level: level * 257)
    exif = Picture.Exif()
    exif[0x0112] = 6
    picture.convert(mode).save(out, "TIFF", exif=exif)
    with Picture.open(io.BytesIO(crop_bytes(out.getvalue(), (16, 32, 100, 50)))) as part:
        assert part.format == "PNG"
        assert part.getexif()[0x0112] == 6
        with Picture.open(io.BytesIO(out.getvalue())) as whole:
            same = whole.crop((16, 32, 116, 82))
            assert part.tobytes() == (same.convert("RGB") if mode == "CMYK" else same).tobytes()


def test_without_their_borders_all_photographs_stay(catalogue: Any, dataset: Dataset) -> None:
    images = catalogue.rows(select(Image.id, Image.sha256).order_by(Image.id))
    box = {"image_id": images[0][0], "kind": "inside", "origin": "borders", "x": 4, "y": 4, "width": 10**4, "height": 9}
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Region), [box])
    assert main(["labels", "split", "free", "--target", "shutter", "--crop", "border-free"]) == 0
    rows = {row["sha256"]: crop_of(row) for row in read_dataset(catalogue.project.datasets / "free").rows()}
    assert len(rows) == 30
    assert rows.pop(images[0][1]) == (4, 4, 636, 9)  # a box ends where the picture ends
    assert set(rows.values()) == {None}


@pytest.mark.parametrize(
    ("licence", "whole", "cropped"),
    [
        ("CC0-1.0", True, True),
        ("CC-BY-SA-4.0", True, True),
        ("CC-BY-NC-ND-2.0", True, False),
        ("Public domain", True, True),
        ("All rights reserved", False, False),
        (None, False, False),
        ("ask me", False, False),
    ],
)
def test_what_a_licence_lets_pass(licence: str | None, whole: bool, cropped: bool) -> None:
    assert may_be_shared(licence, cropped=False) is whole
    assert may_be_shared(licence, cropped=True) is cropped


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--format", "zip"], "Unknown format 'zip'"),
        (["--format", "parquet", "--out", "."], "is there already"),
    ],
)
def test_wrong_options_are_one_sentence(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert main(["labels", "pack", "one", *options]) == 2
    assert told in capsys.readouterr().err
