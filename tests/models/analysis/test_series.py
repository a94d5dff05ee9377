"""Predictions along controlled series."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from lightmeter.errors import UsageError
from lightmeter.exposure import aperture_stops
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.analysis.published_series import read_published_series
from lightmeter.models.analysis.series import order_of_pairs
from tests.models.conftest import jpeg, make_dataset
from tests.support import run_error, run_json, run_text

SNAP_HEADER = "Path,Object_name,Object_id,Category,EV_offset,EV_idx,Lux,Shutter_speed,ISO,F-Number,Num_objects"


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
    assert "scene" in run_error("models", "series", trained, "--data", other.folder, "--pairs")


def write_snap(folder: Path, scenes: int = 2) -> Path:
    """Write SNAP: in each scene fast (smooth) and slow (noisy) photographs at two exposures, one of them missing."""
    lines = [SNAP_HEADER]
    for scene in range(scenes):
        for index, (time, offset) in enumerate(
            [("1/1000", "-1"), ("0.5", "-1"), ("1/500", "0"), ("1", "0"), ("1", "1")]
        ):
            name = f"{scene}_cup/10/{offset}/{index}.jpg"
            lines.append(f"{name},{scene}_cup,{scene},cup,{offset},1,10,{time},100,5.6,3")
            if offset != "1":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(jpeg(noisy=index % 2 == 1, seed=700 + scene))
    (folder / "annotations").mkdir()
    (folder / "annotations" / "data.csv").write_text("\n".join(lines))
    return folder


def write_realbokeh(split: Path, **changes: object) -> Path:
    (split / "metadata").mkdir(parents=True)
    content = {
        "id": 7, "source_image": "in/7_f22.JPG", "source_av": 22.0, "target_images": ["gt/7/7_f2.0.JPG", "gt/7/7_f4.0.JPG"],
        "target_avs": [2.0, 4.0], "focal_length": 60, "ISO": 100, "EV": 11.4, "focus_plane_distance": 1.92,
        **changes,
    }  # fmt: skip
    (split / "metadata" / "7.json").write_text(json.dumps(content))
    return split


def test_published_series_is_compared_in_pairs_of_a_scene(trained: Path, tmp_path: Path) -> None:
    command = ("models", "series", trained, "--published", write_snap(tmp_path), "--out", tmp_path / "series.png")
    result = run_json(*command, "--pairs")
    assert (result["photographs"], result["missing"], result["errors"]) == (8, 2, [])
    pairs = result["pairs"]
    assert (pairs["pairs"], pairs["scenes"], pairs["baseline"]) == (4, 2, 0.5)
    assert pairs["in_order"]["value"] == 1.0
    assert pairs["in_order"]["low"] is not None
    text = run_text(*command, "--pairs")
    assert "4 pairs in 2 scenes: 100.0 %" in text
    assert "pairs" not in run_json(*command)


def test_realbokeh_has_a_scene_at_several_apertures(tmp_path: Path) -> None:
    split = write_realbokeh(tmp_path / "test")
    for folder, scene in ((split, "7"), (tmp_path, "test/7")):
        photos = read_published_series(folder)
        assert [photo.file.relative_to(split).as_posix() for photo in photos] == [
            "in/7_f22.JPG",
            "gt/7/7_f2.0.JPG",
            "gt/7/7_f4.0.JPG",
        ]
        assert {(photo.scene, photo.series) for photo in photos} == {(scene, scene)}
        assert [photo.stops["aperture"] for photo in photos] == [aperture_stops(number) for number in (22, 2, 4)]


def test_series_without_the_setting_is_refused(trained: Path, tmp_path: Path) -> None:
    assert "has no shutter" in run_error("models", "series", trained, "--published", write_realbokeh(tmp_path))
    (tmp_path / "empty").mkdir()
    assert "RealBokeh_3MP" in run_error("models", "series", trained, "--published", tmp_path / "empty")


@pytest.mark.parametrize(
    "changes",
    [
        {"target_avs": [2.0]},
        {"target_avs": [2.0, 0]},
        {"target_avs": [2.0, None]},
        {"source_image": "../7.JPG"},
        {"source_image": 7},
        {"target_images": None},
    ],
)
def test_other_scenes_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"7\.json is no scene of RealBokeh_3MP"):
        read_published_series(write_realbokeh(tmp_path, **changes))


@pytest.mark.parametrize(
    "row", ["a.jpg,cup", "/a.jpg,cup,1,cup,0,1,10,1,100,8,3", "a.jpg,cup,1,cup,0,1,10,fast,100,8,3"]
)
def test_other_rows_are_refused(tmp_path: Path, row: str) -> None:
    (tmp_path / "data.csv").write_text(f"{SNAP_HEADER}\n{row}\n")
    with pytest.raises(UsageError, match="line 2, is no row of SNAP"):
        read_published_series(tmp_path)


PHOTOS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)), max_size=20)


@settings(max_examples=20)
@given(PHOTOS)
def test_order_of_pairs_counts_every_pair_once(photos: list[tuple[int, int, int]]) -> None:
    series = [str(photo[0]) for photo in photos]
    true, predicted = (np.array([photo[index] for photo in photos], np.float64) for index in (1, 2))
    scores = [
        1.0 if second[2] > first[2] else 0.5 if second[2] == first[2] else 0.0
        for first in photos
        for second in photos
        if first[0] == second[0] and first[1] < second[1]
    ]
    result = order_of_pairs(series, series, true, predicted)
    assert result["pairs"] == len(scores)
    if scores:
        assert result["in_order"]["value"] == pytest.approx(np.mean(scores))
    else:
        assert result["in_order"]["value"] is None
