"""Comparing runs, and looking into one."""

import io
import sys
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational
from safetensors.torch import load_file

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.analysis.explain import explain
from lightmeter.models.runtime.predictor import Predictor
from tests.support import run_error, run_json, run_text

from .conftest import jpeg, make_dataset


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    file = tmp_path / "photograph.jpg"
    file.write_bytes(jpeg(noisy=True, seed=500))
    return file


def test_runs_are_compared_photograph_by_photograph(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    assert "has no answers on its test split" in run_error("models", "compare", run, run)
    other = tmp_path / "grid"
    small = ["--set", "patches=32", "--set", "epochs=1", "--device", "cpu"]
    run_json("models", "train", "lebon-grid", "--data", dataset.folder, "--out", other, *small)
    for one in (run, other):
        run_json("models", "evaluate", one, "--data", dataset.folder)
    found = run_json("models", "compare", run, other)
    runs = found["targets"]["shutter"]["runs"]
    assert found["reference"] == "noise"
    assert runs["noise"]["difference"] == {}
    difference = runs["grid"]["difference"]["accuracy"]
    assert difference["value"] == runs["grid"]["accuracy"]["value"] - runs["noise"]["accuracy"]["value"]
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert runs["grid"]["seconds"] > 0
    assert runs["grid"]["seconds_difference_percent"] is not None
    page = tmp_path / "comparison.html"
    run_text("models", "compare", run, other, "--quiet", "--out", page)
    assert page.read_text().count("data:image/png;base64,") == 3
    assert "training, seconds" in page.read_text()


def test_many_runs_have_a_row_each(trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "comparison.html"
    run_json("models", "compare", *([trained] * 5), "--split", "validation", "--out", page)
    text = page.read_text()
    assert text.index("<th>run</th>") < text.index("<td>noise (1)</td>") < text.index("<td>noise (5)</td>")
    assert "100.0 %\n[100.0, 100.0]\nΔ +0.0 points\n[+0.0, +0.0]" in text


def test_one_run_cannot_be_compared(run: Path) -> None:
    assert "nothing to compare" in run_error("models", "compare", run)


def test_an_answer_is_explained(trained: Path, photograph: Path, tmp_path: Path) -> None:
    (told,) = run_json("models", "explain", trained, photograph, "--out", tmp_path / "explained")
    assert told["class"] == "slow"
    assert len(told["patches"]) == 2
    assert Path(told["picture"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["gradient", "activations", "integrated", "smooth"])
def test_maps_show_where_an_answer_comes_from(kind: str, trained: Path, photograph: Path, tmp_path: Path) -> None:
    if kind in ("integrated", "smooth"):
        pytest.importorskip("captum")
    (told,) = run_json("models", "explain", trained, photograph, "--map", kind, "--out", tmp_path / "explained")
    assert told["map"] == kind
    with Image.open(told["picture"]) as picture:
        assert min(picture.size) > 100


def test_maps_that_cannot_be_had_are_said(
    trained: Path, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["models", "explain", trained, photograph, "--out", tmp_path / "explained", "--map"]
    assert "did you mean gradient?" in run_error(*words, "gradients")
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert "pip install 'lightmeter[captum]'" in run_error(*words, "smooth")


def test_activations_of_gupta_kannan(dataset: Dataset, photograph: Path, tmp_path: Path) -> None:
    """Its maps brighten where the network answers, one for each patch."""
    small = ["weights=", "freeze=[]", "patches=3", "patch_size=64", "filters=4", "dense=8", "epochs=1"]
    settings = [word for setting in small for word in ("--set", setting)]
    run = tmp_path / "run"
    run_json("models", "train", "gupta-kannan", "--data", dataset.folder, "--out", run, *settings)
    predictor = Predictor.load(run)
    found = explain(predictor, predictor.preprocess(photograph.read_bytes()), "shutter", "activations")
    assert found.maps["patches"].shape == (3, 64, 64)
    assert 0 <= found.maps["patches"].min() <= found.maps["patches"].max() == pytest.approx(1.0)


def test_the_tag_that_tells_is_the_one_that_is_missed(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    tagged = make_dataset(tmp_path / "data" / "tagged-v1", exif=True)
    reader = tmp_path / "reader"
    settings = ["--set", "exif=['f_number', 'iso']", "--set", "epochs=40", "--set", "batch_size=4"]
    run_json("models", "train", "lederer-exif", "--data", tagged.folder, "--out", reader, *settings)
    found = run_json("models", "importance", reader, "--data", tagged.folder, "--repeats", "5")
    assert (found["target"], found["split"]) == ("shutter", "validation")
    assert found["drops"]["iso"]["value"] > 0.2 > found["drops"]["f_number"]["value"]
    assert list(found["drops"]) == ["iso", "f_number"]
    assert Path(found["picture"]).is_file()
    assert "neither EXIF tags nor measures" in run_error("models", "importance", run, "--data", dataset.folder)


def test_an_attack_lowers_accuracy(run: Path, dataset: Dataset) -> None:
    found = run_json("models", "attack", run, "--data", dataset.folder, "--levels", "0,8", "--limit", "4")
    assert (found["photographs"], found["split"]) == (4, "validation")
    assert found["fgsm"][0] == found["pgd"][0] == 1.0
    assert found["pgd"][1] < 1.0
    assert (run / "plots" / "attack-shutter.png").is_file()


def test_the_grids_of_lebon_are_attacked(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_json(
        *("models", "train", "lebon-grid", "--data", dataset.folder, "--out", run),
        *("--set", "patches=64", "--set", "epochs=60", "--set", "patience=60", "--set", "batch_size=4"),
    )
    found = run_json("models", "attack", run, "--data", dataset.folder, "--levels", "0,64")
    assert found["fgsm"][0] > 0.8 > found["fgsm"][1]


def test_the_test_split_is_studied_after_it_was_evaluated_only(run: Path, dataset: Dataset) -> None:
    words = ["models", "attack", run, "--data", dataset.folder, "--levels", "0", "--limit", "2", "--split"]
    assert "is not looked at before" in run_error(*words, "test")
    assert "There is no split 'all'" in run_error(*words, "all")
    run_json("models", "evaluate", run, "--data", dataset.folder)
    assert run_json(*words, "test")["split"] == "test"


def test_heads_that_were_fitted_to_validation_are_not_studied_there(dataset: Dataset, tmp_path: Path) -> None:
    patches = ["--set", "patches=2", "--set", "patch_size=64", "--set", "penalties=[1.0]"]
    scored = {}
    for name, folds in (("once", 0), ("again", 2)):
        words = ["models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / name, *patches]
        metrics = run_json(*words, "--set", f"folds={folds}")["metrics"]
        scored[name] = metrics["validation"]["targets"]["shutter"]
    assert scored["once"]["confusion"] == scored["again"]["confusion"]  # scored before
    weights = [load_file(tmp_path / name / "model.safetensors")["heads.targets.shutter.weight"] for name in scored]
    assert not weights[0].equal(weights[1])

    words = ["models", "attack", tmp_path / "again", "--data", dataset.folder, "--levels", "0"]
    assert "fitted to validation, too" in run_error(*words)
    run_json("models", "evaluate", tmp_path / "again", "--data", dataset.folder)
    assert run_json(*words, "--split", "test")["split"] == "test"


def test_a_series_is_predicted_along_its_truth(trained: Path, tmp_path: Path) -> None:
    files = []
    for number, time in enumerate(((1, 1000), (1, 30))):
        file = tmp_path / f"{number}.jpg"
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = IFDRational(*time)
        with Image.open(io.BytesIO(jpeg(noisy=number == 1, seed=600))) as picture:
            picture.save(file, quality="keep", exif=exif)
        files.append(file)
    found = run_json("models", "series", trained, *files[::-1], "--out", tmp_path / "series.png")["series"]
    assert [round(one["truth"], 2) for one in found] == [-9.97, -4.91]
    assert found[0]["stops"] < found[1]["stops"]
    assert (tmp_path / "series.png").is_file()
    plain = tmp_path / "plain.jpg"
    plain.write_bytes(jpeg(noisy=True, seed=1))
    assert "does not say its shutter" in run_error("models", "series", trained, plain)


def test_a_data_set_of_series_is_predicted_with_intervals(trained: Path, dataset: Dataset, tmp_path: Path) -> None:
    along = make_dataset(tmp_path / "data" / "along-v1", count=24)
    found = run_json("models", "series", trained, "--data", along.folder, "--out", tmp_path / "series.png")
    assert found["photographs"] == 24
    assert found["error_stops"]["low"] <= found["error_stops"]["value"] <= found["error_stops"]["high"]
    assert {round(one["truth"]) for one in found["series"]} == {-10, -4}
    assert found["within_one_class"]["value"] == 1.0  # there are two
    assert "has learned from noise-v1" in run_error("models", "series", trained, "--data", dataset.folder)
    assert "as files, or as a data set" in run_error("models", "series", trained)


def test_photographs_alike_are_found(trained: Path, dataset: Dataset) -> None:
    row = dataset.rows("test")[0]
    found = run_json("models", "similar", trained, dataset.store / row["path"], "--data", dataset.folder, "--count", 5)
    assert found[0]["sha256"] == row["sha256"]
    assert found[0]["likeness"] == pytest.approx(1.0, abs=1e-5)
    likenesses = [one["likeness"] for one in found]
    assert likenesses == sorted(likenesses, reverse=True)
    assert len(found) == 5


def test_what_looks_at_no_picture_cannot_be_explained(dataset: Dataset, photograph: Path, tmp_path: Path) -> None:
    trees = tmp_path / "trees"
    options = ["--data", dataset.folder, "--out", trees, "--set", "iterations=5", "--quiet"]
    run_text("models", "train", "quality-features", *options)
    assert "looks at no picture" in run_error("models", "explain", trees, photograph)
    assert "no layer to compare" in run_error("models", "similar", trees, photograph, "--data", dataset.folder)
    assert "There is no file" in run_error("models", "explain", trees, tmp_path / "missing.jpg")
