"""``lightmeter read`` and the model that ships with Lightmeter."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightmeter.errors import UsageError
from lightmeter.models import load_predictor
from lightmeter.models.training.reservation import reserve_run
from lightmeter.models.training.runs import find_run
from lightmeter.models.training.shipped import package_folder
from lightmeter.serve import write_archive
from tests.support import encode_image, exif_tags, run_command, run_error, run_json

TARGETS = {"aperture", "shutter", "iso", "focal-length", "focal-length-35mm", "medium"}
ORDINAL = TARGETS - {"focal-length", "medium"}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of this module, in which the shipped model is assembled once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn photograph with EXIF, stored on its side."""
    pixels = np.random.default_rng(0).normal(120, 30, (480, 640, 3)).clip(0, 255).astype(np.uint8)
    settings = {33437: 4.0, 33434: 1 / 250, 34855: 400, 37386: 50.0, 41989: 75}
    file = tmp_path_factory.mktemp("photographs") / "<b>&.jpg"
    exif = exif_tags(settings, make="Nikon", model="D90", orientation=6)
    file.write_bytes(encode_image(Image.fromarray(pixels), exif=exif))
    return file


def test_read_estimates_every_setting_beside_the_exif(photograph: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.jpg"

    entry, failed = run_json("read", photograph, missing)

    assert failed["error"]["status"] == 404
    assert entry["exif"]["f_number"] == 4.0
    assert entry["settings"].keys() == entry["predictions"].keys() == TARGETS
    for name, prediction in entry["predictions"].items():
        setting = entry["settings"][name]
        assert 0 <= setting["confidence"] <= 1
        assert ("low" in setting) == ("interval" in prediction) == (name in ORDINAL)
        if name in ORDINAL:
            low, high = prediction["interval"]
            assert low < prediction["stops"] < high
    aperture = entry["settings"]["aperture"]
    assert aperture["exif"] == "f/4"
    assert aperture["difference_stops"] == pytest.approx(entry["predictions"]["aperture"]["stops"] - 4, abs=0.01)
    assert entry["settings"]["shutter"]["exif"] == "1/250 s"
    lens = entry["settings"]["focal-length-35mm"]
    assert lens["angle_of_view_low"] < lens["angle_of_view"] < lens["angle_of_view_high"] < 180


def test_predict_and_archive_give_the_answers_of_read(photograph: Path, tmp_path: Path) -> None:
    read = run_json("read", photograph)[0]["predictions"]

    assert run_json("models", "predict", "default", photograph)[0]["predictions"] == read
    assert load_predictor("default").predict(photograph).as_dict()["predictions"] == read
    archive = write_archive(find_run(Path("default")), tmp_path)
    assert archive.name == "default"


def test_page_is_self_contained_and_shows_patches(photograph: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    assert run_command("read", photograph, "--html", page).code == 0

    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;.jpg" in text
    assert text.count("data:image/jpeg;base64,") > 1
    assert "http" not in text.replace("http-equiv", "")


def test_read_reports_incorrect_use(photograph: Path, tmp_path: Path) -> None:
    assert ".html" in run_error("read", photograph, "--html", tmp_path / "page.pdf")
    assert "run folder" in run_error("read", photograph, "--model", "no-such-run")
    assert run_command("read", tmp_path / "missing.jpg").code == 1
    with pytest.raises(UsageError, match="ships with Lightmeter"), reserve_run(tmp_path / "default", None, "x"):
        pass


def test_damaged_assembled_model_is_replaced(cache: Path) -> None:
    folder = find_run(Path("default"))
    (folder / "model.safetensors").write_bytes(b"damaged")

    load_predictor("default")

    assert folder.parent.is_relative_to(cache)


def test_package_holds_a_small_model_with_its_card() -> None:
    files = {file.name: file for file in package_folder().iterdir()}

    assert {"heads.safetensors", "model.toml", "recipe.toml", "metrics.json", "repositories.csv", "README.md"} <= set(
        files
    )
    assert sum(file.stat().st_size for file in files.values()) <= 8_000_000
    assert set(json.loads(files["metrics.json"].read_text())["folds"]) == TARGETS
    card = files["README.md"].read_text()
    for heading in ("Intended use", "Results", "Limits", "Licence"):
        assert f"## {heading}" in card
