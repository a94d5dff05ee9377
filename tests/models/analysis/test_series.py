"""Predictions along controlled series."""

import io
from pathlib import Path

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from lightmeter.labels.datasets.dataset import Dataset
from tests.models.conftest import jpeg, make_dataset
from tests.support import run_error, run_json


def test_series_of_files_is_ordered_by_the_true_setting(trained: Path, tmp_path: Path) -> None:
    files = []
    for index, time in enumerate(((1, 1000), (1, 30))):
        file = tmp_path / f"{index}.jpg"
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = IFDRational(*time)
        with Image.open(io.BytesIO(jpeg(noisy=index == 1, seed=600))) as image:
            image.save(file, quality="keep", exif=exif)
        files.append(file)
    without_exif, damaged = tmp_path / "plain.jpg", tmp_path / "damaged.jpg"
    without_exif.write_bytes(jpeg(noisy=True, seed=1))
    damaged.write_bytes(files[0].read_bytes()[:500])
    bad = [tmp_path / "missing.jpg", without_exif, damaged, tmp_path]
    result = run_json("models", "series", trained, *bad, *files[::-1], "--out", tmp_path / "series.png")
    rows = result["series"]
    assert result["photographs"] == 2
    assert [entry["file"] for entry in result["errors"]] == list(map(str, bad))
    assert "has no shutter in its EXIF" in result["errors"][1]["error"]["reason"]
    assert [round(row["true_stops"], 2) for row in rows] == [-9.97, -4.91]
    assert rows[0]["predicted_stops"] < rows[1]["predicted_stops"]
    assert (tmp_path / "series.png").is_file()
    assert "has no shutter in its EXIF" in run_error("models", "series", trained, without_exif, code=1)


def test_series_of_a_data_set_has_intervals(trained: Path, dataset: Dataset, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "data" / "along-v1", count=24)
    result = run_json("models", "series", trained, "--data", other.folder, "--out", tmp_path / "series.png")
    assert result["photographs"] == 24
    assert result["mae_stops"]["low"] <= result["mae_stops"]["value"] <= result["mae_stops"]["high"]
    assert {round(row["true_stops"]) for row in result["series"]} == {-10, -4}
    assert result["within_one_class"]["value"] == 1.0  # there are only two classes
    assert "was trained on noise-v1" in run_error("models", "series", trained, "--data", dataset.folder)
    assert "either as files or as a data set" in run_error("models", "series", trained)
