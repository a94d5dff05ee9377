"""Tests of the source ``mirflickr`` with both layouts on disk."""

from pathlib import Path

import pytest

from lightmeter.harvest.exif.normalise import normalise
from lightmeter.harvest.sources.base import Checkpoint, Sighting
from lightmeter.harvest.sources.mirflickr import Mirflickr, read_pairs
from lightmeter.settings import Settings
from tests.support import CommandRunner, jpeg

RAW = "-Make\nCanon\n-Exposure\n1/125\n-Aperture\n161/32\n-Focal Length\n2, 50, 907, 605\n"
CLEAN = "-Exposure\n0.008 sec (1/125)\n-Aperture\nf/5.6\n-Aperture\n161/32\n-ISO Speed\n400\n-Focal Length\n50 mm\n"
LICENCE = (
    "Photo id: 3084779859\nOwner name: Ada\nOwner id: 1@N00\nPicture title: Fog\n"
    "Web url: http://www.flickr.com/photos/ada/3084779859/\nLicense: http://creativecommons.org/licenses/by-nc/2.0/\n"
)


def write(file: Path, content: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The layout of MIRFLICKR-25000."""
    top = tmp_path / "mirflickr"
    for number in (1, 2, 10):
        write(top / f"im{number}.jpg", jpeg(number, settings={}))
    write(top / "meta/exif_raw/exif1.txt", RAW)
    write(top / "meta/exif/exif1.txt", CLEAN)
    write(top / "meta/exif/exif2.txt", "")
    write(top / "meta/tags/tags1.txt", "fog\nharbour\n\n")
    write(top / "meta/license/license1.txt", LICENCE)
    return top


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """The layout of MIRFLICKR-1M."""
    top = tmp_path / "mirflickr1m"
    for number in (0, 9_999, 10_000, 20_000):
        write(top / f"images/{number // 10_000}/{number}.jpg", jpeg(number, settings={}))
    write(top / "exif/1/10000.txt", RAW)
    write(top / "tags/1/10000.txt", "fog\n")
    return top


def list_items(path: Path, cursor: dict[str, str] | None = None) -> list[Sighting]:
    items = Mirflickr(Settings()).discover(Mirflickr.Query(path=path), cursor)
    return [item for item in items if isinstance(item, Sighting)]


def test_images_are_combined_with_text_files(small: Path) -> None:
    first, second, _ = list_items(small)
    assert [item.source_id for item in list_items(small)] == ["im1.jpg", "im2.jpg", "im10.jpg"]
    assert (first.owner, first.licence, first.title) == (
        "1@N00",
        "http://creativecommons.org/licenses/by-nc/2.0/",
        "Fog",
    )
    assert first.attribution == "Fog by Ada on Flickr"
    assert first.page_url == "http://www.flickr.com/photos/ada/3084779859/"
    assert (first.tags, first.metadata) == (("fog", "harbour"), {"flickr_id": "3084779859"})
    assert (second.exif, second.tags, second.owner) == (None, (), None)


def test_apex_and_plain_values_are_equal(small: Path, large: Path) -> None:
    for item in (list_items(small)[0], list_items(large)[2]):
        assert item.exif_origin == "sidecar"
        values = normalise(item.exif)  # type: ignore[arg-type]
        assert values.exposure_time_s == pytest.approx(1 / 125)
        assert values.f_number == pytest.approx(5.6, abs=0.15)  # 161/32 is the APEX number of f/5.7
    assert normalise(list_items(small)[0].exif).iso == 400  # type: ignore[arg-type]


def test_large_data_set_is_read_by_folder(large: Path) -> None:
    assert [item.source_id for item in list_items(large)] == [
        "images/0/0.jpg", "images/0/9999.jpg", "images/1/10000.jpg", "images/2/20000.jpg",
    ]  # fmt: skip
    assert list_items(large)[2].tags == ("fog",)


def test_discovery_resumes_at_checkpoint(large: Path) -> None:
    items = list(Mirflickr(Settings()).discover(Mirflickr.Query(path=large), None))
    checkpoint = next(item for item in items if isinstance(item, Checkpoint))
    assert [item.source_id for item in list_items(large, checkpoint.cursor)] == [
        "images/1/10000.jpg",
        "images/2/20000.jpg",
    ]


def test_recorded_files_are_read(shared: Path) -> None:
    folder = shared / "fixtures" / "mirflickr"
    values = normalise(read_pairs(folder / "exif333909.txt"))
    assert (values.make, values.model) == ("Canon", "Canon PowerShot A620")
    assert values.exposure_time_s == pytest.approx(1 / 60, rel=0.02)
    assert values.f_number == pytest.approx(4.09, abs=0.01)
    again = normalise(read_pairs(folder / "exif_mirflickr25k_form.txt"))
    assert (again.exposure_time_s, again.f_number, again.iso, again.focal_length_mm) == (0.008, 5.6, 400, 50)
    assert read_pairs(folder / "exif_empty.txt") == {}


def test_other_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither"):
        Mirflickr.Query(path=tmp_path)


def test_harvest_run_fills_catalogue(lightmeter: CommandRunner, project: Path, small: Path) -> None:
    counts = lightmeter("harvest", "run", "mirflickr", small, "--require", "exposure_time_s")
    assert {name: counts[name] for name in ("found", "fetched", "skipped")} == {"found": 3, "fetched": 1, "skipped": 2}
    table = lightmeter("catalogue", "export", "out.parquet")
    import pyarrow.parquet as pq

    (row,) = pq.read_table(table["file"]).to_pylist()
    assert (row["f_number"], row["iso"], row["make"]) == (
        5.6,
        400,
        "Lightmeter Works",
    )  # EXIF of the file has precedence
