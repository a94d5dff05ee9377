"""Comparing runs, and looking into one."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from labels.dataset import DataSet

from .conftest import jpeg, lightmeter

Ask = Callable[..., Any]


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    file = tmp_path / "photograph.jpg"
    file.write_bytes(jpeg(noisy=True, seed=500))
    return file


def test_runs_are_compared_photograph_by_photograph(
    run: Path, dataset: DataSet, tmp_path: Path, document: Ask, sentence: Ask
) -> None:
    assert "has no answers on its test split" in sentence("models", "compare", run, run)
    other = tmp_path / "grid"
    small = ["--set", "patches=32", "--set", "epochs=1", "--device", "cpu"]
    document("models", "train", "lebon-grid", "--data", dataset.folder, "--out", other, *small)
    for one in (run, other):
        document("models", "evaluate", one, "--data", dataset.folder)
    found = document("models", "compare", run, other)
    runs = found["targets"]["shutter"]["runs"]
    assert found["reference"] == "noise"
    assert runs["noise"]["difference"] == {}
    difference = runs["grid"]["difference"]["accuracy"]
    assert difference["value"] == runs["grid"]["accuracy"]["value"] - runs["noise"]["accuracy"]["value"]
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert lightmeter("models", "compare", run, other, "--quiet") == 0


def test_one_run_cannot_be_compared(run: Path, sentence: Ask) -> None:
    assert "nothing to compare" in sentence("models", "compare", run)


def test_an_answer_is_explained(trained: Path, photograph: Path, tmp_path: Path, document: Ask) -> None:
    (told,) = document("models", "explain", trained, photograph, "--out", tmp_path / "explained")
    assert told["class"] == "slow"
    assert len(told["patches"]) == 2
    assert Path(told["picture"]).read_bytes().startswith(b"\x89PNG")


def test_an_attack_lowers_accuracy(run: Path, dataset: DataSet, document: Ask) -> None:
    found = document("models", "attack", run, "--data", dataset.folder, "--levels", "0,8", "--limit", "4")
    assert found["photographs"] == 4
    assert found["fgsm"][0] == found["pgd"][0] == 1.0
    assert found["pgd"][1] < 1.0
    assert (run / "plots" / "attack-shutter.png").is_file()


def test_a_series_is_predicted_along_its_truth(trained: Path, tmp_path: Path, document: Ask, sentence: Ask) -> None:
    files = []
    for number, time in enumerate(((1, 1000), (1, 30))):
        file = tmp_path / f"{number}.jpg"
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = IFDRational(*time)
        with Image.open(io.BytesIO(jpeg(noisy=number == 1, seed=600))) as picture:
            picture.save(file, quality="keep", exif=exif)
        files.append(file)
    found = document("models", "series", trained, *files[::-1], "--out", tmp_path / "series.png")["series"]
    assert [round(one["truth"], 2) for one in found] == [-9.97, -4.91]
    assert found[0]["stops"] < found[1]["stops"]
    assert (tmp_path / "series.png").is_file()
    plain = tmp_path / "plain.jpg"
    plain.write_bytes(jpeg(noisy=True, seed=1))
    assert "does not say its shutter" in sentence("models", "series", trained, plain)


def test_photographs_alike_are_found(trained: Path, dataset: DataSet, document: Ask) -> None:
    row = dataset.rows("test")[0]
    found = document("models", "similar", trained, dataset.store / row["path"], "--data", dataset.folder, "--count", 5)
    assert found[0]["sha256"] == row["sha256"]
    assert found[0]["likeness"] == pytest.approx(1.0, abs=1e-5)
    likenesses = [one["likeness"] for one in found]
    assert likenesses == sorted(likenesses, reverse=True)
    assert len(found) == 5


def test_what_looks_at_no_picture_cannot_be_explained(
    dataset: DataSet, photograph: Path, tmp_path: Path, sentence: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    trees = tmp_path / "trees"
    options = ["--data", dataset.folder, "--out", trees, "--set", "iterations=5", "--quiet"]
    assert lightmeter("models", "train", "quality-features", *options) == 0
    assert "looks at no picture" in sentence("models", "explain", trees, photograph)
    assert "no layer to compare" in sentence("models", "similar", trees, photograph, "--data", dataset.folder)
    assert "There is no file" in sentence("models", "explain", trees, tmp_path / "missing.jpg")
