"""Exports, read back with the libraries that they are for."""

import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from PIL import ImageOps
from sqlalchemy import insert, select

from lightmeter.geometry import ORIENTATION_TAG, Box
from lightmeter.harvest.catalogue.models import Image, Region
from lightmeter.harvest.catalogue.regions import MANUAL
from lightmeter.harvest.licences import ALL_RIGHTS_RESERVED, PUBLIC_DOMAIN
from lightmeter.labels.datasets.dataset import SPLITS, Dataset, Split, crop_of, read_dataset
from lightmeter.labels.datasets.export.samples import crop_bytes, permits_redistribution
from tests.labels.datasets.helpers import FAST, SLOW, apply_rules, create_dataset, splits_by, store_image
from tests.support import encode_image, exif_tags, run_error, run_json, run_text


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    """Thirty photographs in ten groups; two may not be redistributed."""
    for index in range(30):
        store_image(
            catalogue,
            PillowImage.new("RGB", (64, 48), (index * 8, 100, 50)),
            owner=str(index // 3),
            exposure_time_s=(FAST, SLOW)[index % 2],
            concepts=(["street"], ["street", "night"])[index % 2],
            licence=None if index == 4 else "All rights reserved" if index == 5 else "CC-BY-4.0",
        )
    apply_rules(catalogue, "shutter", "concept")
    return create_dataset(target="shutter")


def export(format_name: str, *options: str, name: str = "one") -> Any:
    return run_json("labels", "pack", name, "--format", format_name, *options)


def redistributable_labels(dataset: Dataset, split: Split) -> dict[str, str]:
    rows = [row for row in dataset.rows(split) if row["licence"] == "CC-BY-4.0"]
    return {row["sha256"]: row["label_shutter"] for row in rows}


# webdataset leaves its shards open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_shards_have_the_original_bytes(dataset: Dataset) -> None:
    webdataset = pytest.importorskip("webdataset")
    result = export("webdataset")
    assert (sum(result["images"].values()), result["excluded"]) == (28, 2)
    for split in SPLITS:
        shards = [str(file) for file in sorted(Path(result["folder"]).glob(f"{split}-*.tar"))]
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        documents = [json.loads(sample["json"]) for sample in samples]
        labels = {document["sha256"]: document["labels"]["shutter"] for document in documents}
        assert labels == redistributable_labels(dataset, split)
        for sample in samples:
            assert hashlib.sha256(sample["jpg"]).hexdigest() == sample["__key__"]


def test_webdataset_starts_a_new_shard_at_the_maximum_size(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightmeter.labels.datasets.export.formats.MAX_SHARD_BYTES", 10_000)
    result = export("webdataset", "--any-licence")
    shards = sorted(Path(result["folder"]).glob("train-*.tar"))
    assert len(shards) > 1
    assert shards[-1].name == f"train-{len(shards) - 1:06d}.tar"
    n_images = 0
    for file in shards:
        with tarfile.open(file) as shard:
            n_images += sum(name.endswith(".jpg") for name in shard.getnames())
    assert n_images == result["images"]["train"]


def test_parquet_is_a_hugging_face_dataset(dataset: Dataset, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    result = export("parquet", "--any-licence")
    assert (sum(result["images"].values()), result["excluded"]) == (30, 0)
    files = {split: f"{result['folder']}/data/{split}.parquet" for split in SPLITS}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {split: len(loaded[split]) for split in SPLITS} == dataset.spec.counts
    labels = loaded["train"].features["label_shutter"]
    assert tuple(labels.names) == dataset.spec.targets[0].classes
    first = loaded["train"][0]
    assert first["image"].size == (64, 48)
    by_hash = {row["sha256"]: row["label_shutter"] for row in dataset.rows()}
    assert labels.int2str(first["label_shutter"]) == by_hash[first["sha256"]]


def test_multilabel_targets_are_lists_of_class_labels(dataset: Dataset, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    run_text("labels", "split", "two", "--target", "concept", "--target", "shutter", "--min-per-class", "5")
    result = export("parquet", "--any-licence", name="two")
    files = {"train": f"{result['folder']}/data/train.parquet"}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
    names = loaded.features["label_concept"].feature.names
    assert names == ["night", "street"]
    concepts = {row["sha256"]: row["label_concept"] for row in read_dataset(Path("datasets/two")).rows()}
    for row in loaded:
        assert [names[index] for index in row["label_concept"]] == concepts[row["sha256"]]
    result = export("webdataset", "--any-licence", name="two")
    with tarfile.open(next(Path(result["folder"]).glob("train-*.tar"))) as shard:
        documents = [json.load(shard.extractfile(name)) for name in shard.getnames() if name.endswith(".json")]
    assert documents[0]["labels"]["concept"] == concepts[documents[0]["sha256"]]


def test_imagefolder_has_a_folder_per_class(dataset: Dataset) -> None:
    folder = Path(export("imagefolder")["folder"])
    for split in SPLITS:
        labels = redistributable_labels(dataset, split).values()
        files = (folder / split).glob("*/*.jpg")
        assert Counter(file.parent.name for file in files) == Counter(label.replace("/", "-") for label in labels)
    attributions = (folder / "ATTRIBUTION.csv").read_text(encoding="utf-8")
    assert attributions.count("CC-BY-4.0") == 28
    assert "All rights reserved" not in attributions


def test_face_crops_are_lossless_and_manual_boxes_replace_detections(catalogue: Any, dataset: Dataset) -> None:
    images = catalogue.rows(select(Image.id, Image.sha256).order_by(Image.id))
    box = {"kind": "face", "width": 20, "height": 10, "y": 7}
    rows = [{**box, "image_id": image, "origin": "faces", "x": x} for image, _ in images[:28] for x in (0, 40)]
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Region), [*rows, {**box, "image_id": images[0][0], "origin": MANUAL, "x": 5}])
    output = run_text("labels", "split", "faces", "--target", "shutter", "--crop", "face")
    assert "Excluded 2 labelled photographs without a face crop." in output
    faces = read_dataset(catalogue.project.datasets / "faces")
    assert faces.manifest.num_rows == 1 + 2 * 27
    assert all(len(splits) == 1 for splits in splits_by(faces, "sha256").values())
    result = export("imagefolder", name="faces")
    assert (sum(result["images"].values()), result["excluded"]) == (1 + 2 * 25, 4)
    first, second = images[0][1], images[1][1]
    (file,) = Path(result["folder"]).glob(f"*/*/{first}-*.png")
    with PillowImage.open(dataset.store / first[:2] / first) as uncropped, PillowImage.open(file) as crop:
        assert crop.tobytes() == uncropped.crop((5, 7, 25, 17)).tobytes()
    names = {file.name for file in Path(result["folder"]).glob(f"*/*/{second}-*.png")}
    assert names == {f"{second}-0.png", f"{second}-1.png"}
    run_json("labels", "verify", "faces")


def test_border_free_crops_keep_all_photographs(catalogue: Any, dataset: Dataset) -> None:
    images = catalogue.rows(select(Image.id, Image.sha256).order_by(Image.id))
    box = {"kind": "inside", "origin": "borders", "x": 4, "y": 4, "height": 9}
    rows = [{**box, "image_id": images[0][0], "width": width} for width in (10, 10**4)]  # the latest box counts
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Region), rows)
    run_text("labels", "split", "free", "--target", "shutter", "--crop", "border-free")
    crops = {row["sha256"]: crop_of(row) for row in read_dataset(catalogue.project.datasets / "free").rows()}
    assert len(crops) == 30
    assert crops.pop(images[0][1]) == Box(4, 4, 60, 9)  # clipped to the image
    assert set(crops.values()) == {None}


@pytest.mark.parametrize("mode", ["I;16", "LA", "P", "CMYK"])
def test_crop_keeps_all_bits(mode: str) -> None:
    image = PillowImage.linear_gradient("L").convert("I;16" if mode == "I;16" else "RGB")
    if mode == "I;16":
        image = image.point(lambda level: level * 257)
    image = image.convert(mode)
    with PillowImage.open(io.BytesIO(crop_bytes(encode_image(image, "TIFF"), Box(16, 32, 100, 50)))) as crop:
        assert crop.format == "PNG"
        expected = image.crop((16, 32, 116, 82))
        assert crop.tobytes() == (expected.convert("RGB") if mode == "CMYK" else expected).tobytes()


@pytest.mark.parametrize(("kind", "orientation"), [("PNG", 6), ("TIFF", 1)])
def test_crop_keeps_the_orientation_once(kind: str, orientation: int) -> None:
    image = PillowImage.linear_gradient("L")
    data = encode_image(image, kind, exif=exif_tags({}, orientation=6))
    with PillowImage.open(io.BytesIO(crop_bytes(data, Box(0, 0, 256, 256)))) as crop:
        assert crop.getexif()[ORIENTATION_TAG] == orientation  # Pillow decodes TIFF upright
        upright = ImageOps.exif_transpose(crop)
    assert upright.tobytes() == image.transpose(PillowImage.Transpose.ROTATE_270).tobytes()


@pytest.mark.parametrize(
    ("licence", "uncropped", "cropped"),
    [
        ("CC0-1.0", True, True),
        ("CC-BY-SA-4.0", True, True),
        ("CC-BY-NC-ND-2.0", True, False),
        (PUBLIC_DOMAIN, True, True),
        (ALL_RIGHTS_RESERVED, False, False),
        (None, False, False),
        ("ask me", False, False),
    ],
)
def test_licence_permits_redistribution(licence: str | None, uncropped: bool, cropped: bool) -> None:
    assert permits_redistribution(licence, cropped=False) is uncropped
    assert permits_redistribution(licence, cropped=True) is cropped


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "zip"], "format 'zip'"),
        (["--format", "parquet", "--out", "."], "exists"),
    ],
)
def test_invalid_option_is_an_error(dataset: Dataset, options: list[str], message: str) -> None:
    assert message in run_error("labels", "pack", "one", *options)
