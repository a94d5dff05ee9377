"""Normalisation of EXIF tags from all sources to columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.harvest.exif.normalise import column_of, normalise
from tests.harvest.exif.strategies import VALUES


@given(st.dictionaries(st.sampled_from([
    "FNumber", "ExposureTime", "ISO", "Flash", "Orientation", "DateTimeOriginal", "Make", "SensitivityType", "Aperture",
]) | st.text(max_size=8), VALUES))  # fmt: skip
def test_normalise_accepts_any_tags(tags: dict[str, object]) -> None:
    assert isinstance(normalise(tags), ExifValues)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"FNumber": "1.8", "ApertureValue": 99}, {"f_number": 1.8}),
        ({"ExifIFD:FNumber": 4}, {"f_number": 4.0}),
        ({"ApertureValue": "4", "ShutterSpeedValue": "7"}, {"f_number": 4.0, "exposure_time_s": 1 / 128}),
        ({"Aperture": "f/5.6", "Exposure": "0.008 sec (1/125)", "ISO Speed": "400", "Focal Length": "50 mm"},
         {"f_number": 5.6, "exposure_time_s": 0.008, "iso": 400.0, "focal_length_mm": 50.0}),
        ({"Aperture": "130/32"}, {"f_number": 2 ** (130 / 64)}),
        ({"PhotographicSensitivity": 65535, "SensitivityType": 2, "RecommendedExposureIndex": 102400}, {"iso": 102400.0}),
        ({"ISO": 0, "ISOSpeed": 50}, {"iso": 50.0}),
        ({"Focal Length (35mm format)": "105 mm", "Flash": "Auto, Did not fire", "Orientation": "Rotate 90 CW"},
         {"focal_length_35mm": 105.0, "flash_fired": False, "orientation": 6}),
        ({"DateTimeOriginal": "2020:05:17 12:34:56", "OffsetTimeOriginal": "+02:00"}, {"taken_at": "2020-05-17T12:34:56+02:00"}),
    ],
)  # fmt: skip
def test_tags_are_normalised_from_each_name(tags: dict[str, object], expected: dict[str, object]) -> None:
    assert normalise(tags) == ExifValues(**expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "equivalent"),
    [
        ("Canon EOS 350D DIGITAL", 80.0), ("Canon EOS 7D Mark II", 80.0), ("Canon EOS-1D Mark III", 65.0),
        ("Canon EOS 5D Mark II", 50.0), ("E-M10", 100.0), ("DMC-GF1", 100.0), ("X-T30", 75.0),
        ("Canon PowerShot G6", None), ("NIKON D800", None), ("iPhone 6s", None), ("DMC-LX3", None), ("E5700", None),
        ("E-10", None), ("E-20,E-20N,E-20P", None), ("E-100RS", None), ("X-S1", None), ("OM-1", None), ("X-S10", 75.0), ("E-410", 100.0),
        ("Canon EOS Kiss X7i", 80.0), ("Canon EOS REBEL T3i", 80.0), ("Canon EOS DIGITAL REBEL XT", 80.0), ("Canon EOS M6 Mark II", 80.0),
    ],
)  # fmt: skip
def test_missing_equivalent_focal_length_is_computed_if_the_crop_factor_is_certain(
    model: str, equivalent: float | None
) -> None:
    assert normalise({"Model": model, "FocalLength": "50 mm"}).focal_length_35mm == equivalent
    assert normalise({"Model": model, "FocalLength": 50, "FocalLengthIn35mmFilm": 77}).focal_length_35mm == 77.0


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("f_number", "f_number"),
        ("FNumber", "f_number"),
        ("ExifIFD:ExposureTime", "exposure_time_s"),
        ("ISOSpeedRatings", "iso"),
        ("Model", "model"),
        ("DateTimeOriginal", "taken_at"),
        ("Colour", "Colour"),
    ],
)
def test_columns_are_named_by_tags(name: str, column: str) -> None:
    assert column_of(name) == column
