"""EXIF tags as network features, from the file or supplied."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightmeter.images.tiff import RATIONAL, SHORT, UNDEFINED
from lightmeter.models import architectures
from lightmeter.models.runtime.preprocess import InvalidPhoto, Preprocessing, preprocess
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training.runs import write_model
from tests.harvest.exif import build
from tests.support import encode_image, run_error, run_json

SETTINGS = Preprocessing(patches=0, exif=("f_number", "exposure_time", "iso"))


def image_with_exif(**options: Any) -> bytes:
    """Return a JPEG with f-number 2, 1/4 s and ISO 100, or with other EXIF."""
    tags = Image.Exif()
    tags.get_ifd(0x8769).update({0x829D: 2.0, 0x829A: 0.25, 0x8827: 100})
    return encode_image(np.full((200, 300, 3), 90, np.uint8), **{"exif": tags, **options})


@pytest.mark.parametrize(
    ("supplied", "values"),
    [
        ({}, [1, -2, np.log2(100)]),
        ({"FNumber": 4}, [2, -2, np.log2(100)]),
        ({"FNumber": "f/8", "ExposureTime": "1/8", "ISO": "400"}, [3, -3, np.log2(400)]),
        ({"PhotographicSensitivity": 200, "FNumber": None, "ExposureTime": ""}, [1, -2, np.log2(200)]),
        ({"ExposureTime": "2 s", "ISOSpeedRatings": 3200}, [1, 1, np.log2(3200)]),
        ({"Flash": "Off, Did not fire", "Keywords": ["sea"]}, [1, -2, np.log2(100)]),
    ],
    ids=["none", "one", "text", "empty", "other names", "not selected"],
)
def test_supplied_tags_replace_those_of_the_file(supplied: dict[str, Any], values: list[float]) -> None:
    features = preprocess(image_with_exif(), SETTINGS, exif=supplied).inputs["exif"]

    assert features == pytest.approx([*values, 1, 1, 1])


def test_a_damaged_tag_hides_no_other() -> None:
    block = build.tiff(
        [], [(build.F_NUMBER, RATIONAL, (2, 1)), (build.MAKER_NOTE, UNDEFINED, bytes(99)), (build.ISO, SHORT, 100)]
    )
    damaged = build.point_outside(block, build.MAKER_NOTE, UNDEFINED)
    data = encode_image(np.full((200, 300, 3), 90, np.uint8), exif=b"Exif\0\0" + damaged)

    assert preprocess(data, SETTINGS).inputs["exif"] == pytest.approx([1, 0, np.log2(100), 1, 0, 1])


def test_codes_are_one_hot_and_settings_are_numbers() -> None:
    """Codes that Exif does not define, and 0 for unknown, count as missing."""
    tags = Image.Exif()
    tags.get_ifd(0x8769).update({0x829D: 4.0, 0x9209: 25, 0x8822: 4, 0x9207: 255})
    settings = Preprocessing(patches=0, exif=("exposure_program", "f_number", "metering_mode", "flash"))

    features = preprocess(image_with_exif(exif=tags), settings).inputs["exif"]

    assert {tag: features[columns].tolist() for tag, columns in settings.exif_columns.items()} == {
        "exposure_program": [0, 0, 0, 1, 0, 0, 0, 0, 1],
        "f_number": [2, 1],
        "metering_mode": [0, 0, 0, 0, 0, 0, 0],
        "flash": [1, 1],
    }
    assert len(features) == 20


@pytest.mark.parametrize("value", ["fast", "1/0", "1/2/3", True, [1, 250], {"a": 1}, "nan", "1e999", "9" * 5000])
def test_supplied_tag_must_be_a_number(value: Any) -> None:
    with pytest.raises(InvalidPhoto, match="The EXIF tag 'ExposureTime' must be a number or a fraction") as caught:
        preprocess(image_with_exif(), SETTINGS, exif={"ExposureTime": value})

    assert caught.value.status == 400


@pytest.fixture
def exif_run(tmp_path: Path) -> Path:
    """Return the run folder of an untrained model of EXIF tags."""
    target = Target("shutter", ("slow", "fast"))
    spec = ModelSpec("x", "1.0", "0", "lederer-exif", "fusion", SETTINGS, (target,))
    (tmp_path / "run").mkdir()
    write_model(tmp_path / "run", spec, architectures.build(spec))
    return tmp_path / "run"


def test_predict_reads_tags_from_a_json_file(exif_run: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jpg", tmp_path / "second.jpg"
    for file in (first, second):
        file.write_bytes(image_with_exif())
    as_list, as_object = tmp_path / "list.json", tmp_path / "object.json"
    as_list.write_text(json.dumps([{"SourceFile": str(second), "FNumber": 16}]))
    as_object.write_text(json.dumps({"FNumber": 16}))

    def predict(*options: object) -> list[Any]:
        results = run_json("models", "predict", exif_run, first, second, *options)
        return [result["predictions"] for result in results]

    plain, supplied = predict(), predict("--exif", as_object)
    assert plain[0] == plain[1] != supplied[0] == supplied[1]
    assert predict("--exif", as_list) == [plain[0], supplied[1]]


@pytest.mark.parametrize("content", ["[", "[1]", "5", '[{"FNumber": 2}]'])
def test_invalid_exif_file_raises_error(exif_run: Path, tmp_path: Path, content: str) -> None:
    file = tmp_path / "exif.json"
    file.write_text(content)

    assert str(file) in run_error("models", "predict", exif_run, file, "--exif", file)
