"""Exports, read back with the libraries that they are for."""

import dataclasses
import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps
from sqlalchemy import insert, select, update

from lightmeter.harvest.catalogue.models import Image, Region
from lightmeter.harvest.catalogue.regions import MANUAL
from lightmeter.harvest.licences import ALL_RIGHTS_RESERVED, PUBLIC_DOMAIN
from lightmeter.images.crops import crop_bytes
from lightmeter.images.geometry import ORIENTATION_TAG, Box
from lightmeter.labels.datasets.dataset import Dataset, read_dataset, write_dataset
from lightmeter.labels.datasets.export.formats import FORMATS
from lightmeter.labels.datasets.export.samples import permits_redistribution
from lightmeter.labels.datasets.manifest import SPLITS, Split, crop_of
from lightmeter.text.names import folder_name
from tests.labels.datasets.helpers import FAST, SLOW, apply_rules, create_dataset, splits_by, store_image
from tests.support import encode_image, exif_tags, run_error, run_json, run_text

MARK = "Jane Roe"
"""A name in the EXIF of each photograph."""


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    """Thirty photographs in ten groups; two may not be redistributed."""
    catalogue.fill_once(fill_catalogue)
    return read_dataset(Path("datasets/one"))


def fill_catalogue(catalogue: Any) -> None:
    for index in range(30):
        store_image(
            catalogue,
            PillowImage.new("RGB", (64, 48), (index * 8, 100, 50)),
            exif=exif_tags({}, make=MARK),
            owner=str(index // 3),
            exposure_time_s=(FAST, SLOW)[index % 2],
            concepts=(["street"], ["street", "night"])[index % 2],
            licence=None if index == 4 else "All rights reserved" if index == 5 else "CC-BY-4.0",
        )
    apply_rules(catalogue, "shutter", "concept")
    create_dataset(target="shutter")


def export(format_name: str, *options: str, name: str = "one") -> Any:
    return run_json("labels", "pack", name, "--format", format_name, *options)


def redistributable_labels(dataset: Dataset, split: Split) -> dict[str, str]:
    rows = [row for row in dataset.rows(split) if row["licence"] == "CC-BY-4.0"]
    return {row["sha256"]: row["label_shutter"] for row in rows}


# webdataset leaves its shards open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_shards_have_photographs_labels_and_hashes(dataset: Dataset) -> None:
    webdataset = pytest.importorskip("webdataset")
    result = export("webdataset")
    assert (sum(result["images"].values()), result["excluded"]) == (28, 2)
    for split in SPLITS:
        shards = [str(file) for file in sorted(Path(result["folder"]).glob(f"{split}-*.tar"))]
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        documents = [json.loads(sample["json"]) for sample in samples]
        labels = {document["sha256"]: document["labels"]["shutter"] for document in documents}
        assert labels == redistributable_labels(dataset, split)
        for sample, document in zip(samples, documents, strict=True):
            assert document["sha256"] == sample["__key__"]
            assert document["file_sha256"] == hashlib.sha256(sample["jpg"]).hexdigest()


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


CLASSES = (
    "train", "test", "val set", "validation-0", ".hidden", "a.b.tar", "__x", "con", "metadata.parquet", "data", "1/60",
    "José's *?\"",
)  # fmt: skip


@pytest.fixture
def odd_classes(catalogue: Any) -> Dataset:
    """Photographs in several formats, with classes whose names other programs take for something else."""
    kinds = ("PNG", "JPEG", "GIF", "JPEG2000", "TIFF", "WEBP")
    hashes = []
    for index in range(4 * len(CLASSES)):
        data = encode_image(PillowImage.new("RGB", (16, 12), (index * 5, 100, 50)), kinds[index % len(kinds)])
        image_id = catalogue.photograph(owner=str(index % 4), licence="CC0-1.0")
        sha256 = hashlib.sha256(data).hexdigest()
        catalogue.project.store.put(sha256, data)
        values = {"sha256": sha256, "format": kinds[index % len(kinds)], "width": 16, "height": 12}
        with catalogue.engine.begin() as connection:
            connection.execute(update(Image).where(Image.id == image_id).values(values))
        hashes.append(sha256)
    for number, name in enumerate(CLASSES):
        run_json("labels", "set", *hashes[4 * number : 4 * number + 4], f"concept={name}")
    run_text("labels", "split", "odd", "--target", "concept", "--min-per-class", "3", "--ratios", "34/33/33")
    dataset = read_dataset(Path("datasets/odd"))
    target = dataset.spec.targets[0]
    labels = pa.array([value[0] for value in dataset.manifest["label_concept"].to_pylist()])
    manifest = dataset.manifest.drop_columns(["label_concept"]).append_column("label_concept", labels)
    spec = dataclasses.replace(dataset.spec, targets=(dataclasses.replace(target, multilabel=False),))
    write_dataset(dataset.folder, spec, manifest)
    return read_dataset(dataset.folder)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_packs_have_the_same_splits_and_classes_for_every_loader(odd_classes: Dataset, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    webdataset = pytest.importorskip("webdataset")
    assert odd_classes.spec.targets[0].classes == tuple(sorted(CLASSES))
    expected = {split: Counter(row["label_concept"] for row in odd_classes.rows(split)) for split in SPLITS}
    folders = {name: Path(export(name, name="odd")["folder"]) for name in ("parquet", "imagefolder", "webdataset")}

    def load(name: str) -> Any:
        return datasets.load_dataset(str(folders[name]), cache_dir=str(tmp_path / "cache"))

    loaded = load("parquet")
    names = loaded["train"].features["label_concept"].names
    assert {split: Counter(names[n] for n in loaded[split]["label_concept"]) for split in SPLITS} == expected
    assert loaded["test"][0]["image"].size == (16, 12)

    folder = str(folders["imagefolder"])
    for loaded in (
        load("imagefolder"),
        datasets.load_dataset("imagefolder", data_dir=folder, cache_dir=str(tmp_path / "other cache")),
    ):
        names = loaded["train"].features["label"].names
        assert tuple(names) == odd_classes.spec.targets[0].classes
        assert {split: Counter(names[n] for n in loaded[split]["label"]) for split in SPLITS} == expected
        assert loaded["test"][0]["image"].size == (16, 12)

    loaded = load("webdataset")
    assert {split: Counter(row["labels"]["concept"] for row in loaded[split]["json"]) for split in SPLITS} == expected
    for split in SPLITS:
        shards = [str(file) for file in sorted(folders["webdataset"].glob(f"{split}-*.tar"))]
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        classes = odd_classes.spec.targets[0].classes
        assert Counter(classes[int(sample["cls"])] for sample in samples) == expected[split]

    renamed = {split: Counter(map(folder_name, expected[split].elements())) for split in SPLITS}
    assert {split: image_folder(folders["imagefolder"] / split) for split in SPLITS} == renamed
    torchvision = pytest.importorskip("torchvision.datasets.folder", exc_type=(ImportError, RuntimeError))
    for split in SPLITS:
        images = torchvision.ImageFolder(str(folders["imagefolder"] / split))
        assert Counter(images.classes[n] for n in images.targets) == renamed[split]


def image_folder(root: Path) -> Counter[str]:
    """Count images by class as torchvision documents `ImageFolder`: files with its suffixes below folders of ``root``.

    torchvision itself cannot be loaded beside every build of torch.
    """
    suffixes = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
    files = (file for folder in root.iterdir() if folder.is_dir() for file in folder.rglob("*"))
    return Counter(file.relative_to(root).parts[0] for file in files if file.name.lower().endswith(suffixes))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format_name", FORMATS)
def test_croissant_of_a_pack_loads_its_images(dataset: Dataset, format_name: str) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    folder = Path(export(format_name)["folder"])
    loaded = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    issues = loaded.metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())
    if format_name == "webdataset":
        assert len(loaded.metadata.file_objects) > 3
        return
    classes = dataset.spec.targets[0].classes
    expected = {row["sha256"]: row for row in dataset.rows()}
    records = list(loaded.records("images"))
    assert len(records) == 28
    for record in records:
        row, label = expected[record["images/sha256"].decode()], record["images/label_shutter"]
        name = row["label_shutter"].replace("/", "-")
        assert (label.decode() if isinstance(label, bytes) else classes[label].replace("/", "-")) == name
        assert record["images/split"].decode() == row["split"]
        assert record["images/image"].size == (64, 48)


def test_row_groups_of_parquet_have_a_bounded_size(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightmeter.labels.datasets.export.formats.ROW_GROUP_BYTES", 5_000)
    folder = Path(export("parquet", "--any-licence")["folder"])
    metadata = pq.ParquetFile(folder / "data" / "train.parquet").metadata
    sizes = [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]
    assert len(sizes) > 2
    assert max(sizes) < 9_000


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
    assert attributions.count(",CC-BY-4.0\n") == 28
    assert "All rights reserved" not in attributions


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("option", ["--any-licence", "--keep-metadata"])
def test_packs_hold_no_metadata_unless_asked(dataset: Dataset, format_name: str, option: str) -> None:
    result = export(format_name, option)
    folder = Path(result["folder"])
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert result["metadata"] == ("kept" if option == "--keep-metadata" else "removed")
    assert any(MARK.encode() in data for data in files.values()) is (option == "--keep-metadata")
    assert ("without metadata" in files["README.md"].decode()) is (result["metadata"] == "removed")
    assert 'store = ""' in files["dataset.toml"].decode()
    if format_name == "imagefolder":
        lines = files["SHA256SUMS"].decode().splitlines()
        images = {
            name: data for name, data in files.items() if name.endswith(".jpg") and not name.startswith("samples/")
        }
        assert sorted(lines) == sorted(f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in images.items())


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
    with PillowImage.open(dataset.store.root / first[:2] / first) as uncropped, PillowImage.open(file) as crop:
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
