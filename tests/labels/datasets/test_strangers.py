"""Data sets that somebody else made: everything in them is checked before it is used."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lightmeter.errors import UsageError
from lightmeter.files import sha256_of
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.exif_view import arrow_type
from lightmeter.labels.datasets.dataset import Dataset, read_dataset
from lightmeter.labels.datasets.manifest import MANIFEST_SCHEMA
from lightmeter.labels.datasets.photographs import MANIFEST_EXIF
from tests.labels.conftest import Catalogue
from tests.labels.datasets.helpers import FAST, SLOW, apply_rules, create_dataset, store_image
from tests.support import create_project, run_error


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a data set of 24 photographs."""
    project = create_project(tmp_path_factory.mktemp("origin") / "project")
    engine = open_engine(project)
    catalogue = Catalogue(project, engine)
    for index in range(24):
        image = Image.new("RGB", (64, 48), (index * 8, 100, 50))
        store_image(catalogue, image, owner=str(index // 2), exposure_time_s=(FAST, SLOW)[index % 2], licence="CC0-1.0")
    apply_rules(catalogue, "shutter-binary")
    engine.dispose()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        create_dataset()
    return project.root


@pytest.fixture
def dataset(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A copy of the data set, in a project that is the working directory."""
    shutil.copytree(origin, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return read_dataset(Path("datasets/one").absolute())


def set_cell(column: str, value: object) -> Callable[[Dataset], None]:
    """Return a change of the first row of the manifest, with the hash in the spec made right."""

    def change(dataset: Dataset) -> None:
        values = dataset.manifest[column].to_pylist()
        values[0] = value
        index = dataset.manifest.column_names.index(column)
        type_ = dataset.manifest.schema.field(index).type
        write_manifest(dataset, dataset.manifest.set_column(index, column, pa.array(values, type_)))

    return change


def drop_column(name: str) -> Callable[[Dataset], None]:
    return lambda dataset: write_manifest(dataset, dataset.manifest.drop_columns([name]))


def write_manifest(dataset: Dataset, manifest: pa.Table) -> None:
    pq.write_table(manifest, dataset.folder / "manifest.parquet")
    replace(dataset, dataset.spec.manifest_sha256, sha256_of(dataset.folder / "manifest.parquet"))


def replace_column(name: str, values: pa.Array) -> Callable[[Dataset], None]:
    """Return the replacement of a column by the first value of an array in all rows."""

    def change(dataset: Dataset) -> None:
        index = dataset.manifest.column_names.index(name)
        rows = values.take(pa.array([0] * dataset.manifest.num_rows))
        write_manifest(dataset, dataset.manifest.set_column(index, name, rows))

    return change


def repeat_first_row(dataset: Dataset) -> None:
    write_manifest(dataset, pa.concat_tables([dataset.manifest, dataset.manifest.slice(0, 1)]))


def append_column(dataset: Dataset) -> None:
    write_manifest(dataset, dataset.manifest.append_column("x\x1b", pa.array([1] * dataset.manifest.num_rows)))


def inflate(dataset: Dataset) -> None:
    """Let the manifest name one owner of 100 kB in 24,000 rows; the file stays small."""
    manifest = pa.concat_tables([dataset.manifest] * 1000)
    owners = pa.DictionaryArray.from_arrays(pa.array([0] * manifest.num_rows, pa.int32()), ["x" * 100_000])
    manifest = manifest.set_column(manifest.column_names.index("owner"), "owner", owners)
    pq.write_table(manifest, dataset.folder / "manifest.parquet", store_schema=False)
    replace(dataset, dataset.spec.manifest_sha256, sha256_of(dataset.folder / "manifest.parquet"))


def damage_text(dataset: Dataset) -> None:
    """Write bytes that are no UTF-8 where a text is expected."""
    values = pa.array([b"\xff\xfe"] * dataset.manifest.num_rows, pa.binary())
    text = pa.Array.from_buffers(pa.string(), len(values), values.buffers())
    write_manifest(dataset, dataset.manifest.set_column(dataset.manifest.column_names.index("make"), "make", text))


def set_text(old: str, new: str) -> Callable[[Dataset], None]:
    return lambda dataset: replace(dataset, old, new)


def replace(dataset: Dataset, old: str, new: str) -> None:
    file = dataset.folder / "dataset.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def link(name: str) -> Callable[[Dataset], None]:
    """Return the replacement of a document by a link."""

    def change(dataset: Dataset) -> None:
        path = dataset.folder / name
        shutil.move(path, dataset.folder.parent / "elsewhere")
        path.symlink_to(dataset.folder.parent / "elsewhere")

    return change


def replace_photograph(kind: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        path = dataset.store.root / dataset.manifest["path"][0].as_py()
        if kind == "folder":
            path.parent.rename(dataset.store.root / "moved")
            path.parent.symlink_to(dataset.store.root / "moved")
            return
        path.rename(dataset.store.root / "moved")
        if kind == "link":
            path.symlink_to(dataset.store.root / "moved")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "bytes":
            path.write_bytes(b"other")

    return change


REFUSED = {
    "hash is a path": (set_cell("sha256", "../../secret"), "sha256 has a value that is not allowed"),
    "hash in capitals": (set_cell("sha256", "AB" * 32), "sha256 has a value"),
    "path elsewhere": (set_cell("path", "/etc/passwd"), "path has a value"),
    "unknown format": (set_cell("format", "profile"), "format has a value that is not allowed ('profile')"),
    "unknown split": (set_cell("split", "../x"), "split has a value"),
    "unknown class": (set_cell("label_shutter-binary", "medium"), "label_shutter-binary has a value"),
    "infinite number": (set_cell("stops_shutter-binary", float("inf")), "stops_shutter-binary has a value"),
    "half a crop": (set_cell("crop_x", 3), "a crop is incomplete"),
    "no format": (set_cell("format", None), "format is empty in 1 row"),
    "negative width": (set_cell("width", -1), "width has a value"),
    "aperture is no number": (set_cell("f_number", float("nan")), "f_number has a value"),
    "a column is missing": (drop_column("focal_length_35mm"), "the column focal_length_35mm is missing"),
    "empty hash": (set_cell("sha256", None), "sha256 is empty in 1 row"),
    "name is a path": (set_text('name = "one"', 'name = "../../x"'), "the name '../../x' is a path"),
    "class leaves the folder": (set_text('"slow"', '".."'), "the class name '..' is a path"),
    "classes are equal": (set_text('"slow"', '"FAST"'), "'fast' and 'FAST' have the same name"),
    "classes share a folder": (set_text('"slow"', '"fast."'), "'fast' and 'fast.' have the same name or would share"),
    "target is a path": (set_text('name = "shutter-binary"', 'name = "../x"'), "name"),
    "no label": (set_cell("label_shutter-binary", None), "a row has no label"),
    "empty label": (set_cell("label_shutter-binary", ""), "label_shutter-binary has a value"),
    "no width": (set_cell("width", 0), "width has a value"),
    "aperture too large": (set_cell("f_number", 1e300), "f_number has a value"),
    "exposure time of nothing": (set_cell("exposure_time_s", 0.0), "exposure_time_s has a value"),
    "huge file": (set_cell("file_size", 2**62), "file_size has a value"),
    "huge number": (set_cell("stops_shutter-binary", 1e300), "stops_shutter-binary has a value"),
    "long text": (set_cell("owner", "x" * 3000), "owner has a value"),
    "text is no UTF-8": (damage_text, "is damaged"),
    "type too wide": (replace_column("width", pa.array([2**64 - 1], pa.uint64())), "width has the type uint64"),
    "type too narrow": (replace_column("f_number", pa.array([2.0], pa.float16())), "f_number has the type halffloat"),
    "row twice": (repeat_first_row, "has two rows"),
    "column too many": (append_column, r"the column 'x\x1b' is unknown"),
    "small file of 2 GB": (inflate, "too large"),
    "counts of other rows": (set_text("train = ", "train = 1"), "counts"),
    "date is none": (set_text('created_on = "', 'created_on = "x'), "created_on"),
    "split extends a path": (set_text("[split]", "[split.extends]\nx = 1\n[split]"), "extends"),
    "card is a link": (link("README.md"), "README.md is a link"),
    "plots are a link": (link("plots"), "plots is a link"),
    "attributions are a link": (link("ATTRIBUTION.csv"), "ATTRIBUTION.csv is a link"),
    "manifest is a link": (link("manifest.parquet"), "manifest.parquet is a link"),
    "split is no table": (set_text("seed = 0", 'seed = "0"'), "invalid 'seed'"),
}
PACK_REFUSED = {
    "photograph is a link": (replace_photograph("link"), "Cannot read the photograph"),
    "its folder is a link": (replace_photograph("folder"), "Cannot read the photograph"),
    "photograph is a pipe": (replace_photograph("pipe"), "no regular file"),
    "photograph has other bytes": (replace_photograph("bytes"), "its bytes have changed"),
    "photograph is missing": (replace_photograph("missing"), "No such file"),
}


def test_manifest_has_the_exif_columns_of_the_catalogue() -> None:
    assert {name: MANIFEST_SCHEMA.field(name).type for name in MANIFEST_EXIF} == {
        name: arrow_type(name) for name in MANIFEST_EXIF
    }


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_data_set_is_not_opened(dataset: Dataset, case: str) -> None:
    change, message = REFUSED[case]
    change(dataset)
    with pytest.raises(UsageError) as error:
        read_dataset(dataset.folder)
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_invalid_data_set_is_refused_by_every_command(dataset: Dataset) -> None:
    set_cell("sha256", "../../secret")(dataset)
    before = sorted(Path().rglob("*"))
    for args in (("labels", "verify", "one"), ("labels", "pack", "one", "--format", "imagefolder")):
        assert "sha256 has a value that is not allowed" in run_error(*args)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("case", PACK_REFUSED)
def test_files_that_are_not_what_they_seem_are_not_packed(dataset: Dataset, case: str) -> None:
    change, message = PACK_REFUSED[case]
    change(dataset)
    before = sorted(Path().rglob("*"))
    for format_name in ("imagefolder", "webdataset", "parquet"):
        assert message in run_error("labels", "pack", "one", "--format", format_name)
    assert sorted(Path().rglob("*")) == before
