"""Camera settings: parsing, formatting, stops and nominal values."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from PIL.TiffImagePlugin import IFDRational

from lightmeter.exposure import (
    NOMINAL_EXPOSURE_TIMES_S,
    NOMINAL_F_NUMBERS,
    NOMINAL_ISOS,
    format_setting,
    is_stop_unit,
    nominal_settings,
    parse_number,
    setting_from_stops,
)


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("f_number", 1.4, "f/1.4"),
        ("f_number", 5.66, "f/5.7"),
        ("f_number", 22.0, "f/22"),
        ("exposure_time_s", 1 / 8000, "1/8000 s"),
        ("exposure_time_s", 0.4, "0.4 s"),
        ("exposure_time_s", 125.0, "125 s"),
        ("iso", 12800.0, "ISO 12800"),
        ("focal_length_mm", 4.25, "4.2 mm"),
        ("focal_length_35mm", 50.0, "50 mm"),
    ],
)
def test_settings_are_formatted_as_photographers_write_them(column: str, value: float, text: str) -> None:
    assert format_setting(column, value) == text


@pytest.mark.parametrize(
    ("stops", "unit", "setting"),
    [(5.0, "Av", math.sqrt(32)), (-6.0, "log2 s", 1 / 64), (1.0, "log2 (ISO / 100)", 200.0), (50.0, "mm", None)],
)
def test_stops_convert_to_settings(stops: float, unit: str, setting: float | None) -> None:
    assert setting_from_stops(stops, unit) == (pytest.approx(setting) if setting else None)
    assert is_stop_unit(unit) == (setting is not None)


def test_implausible_stops_have_no_setting() -> None:
    assert setting_from_stops(65.0, "Av") is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("50.0 mm", 50.0), ("f/5.6", 5.6), ("F5.6", 5.6), ("1/640", 1 / 640), ("1/640 s", 1 / 640), (b"2.8\0", 2.8),
        ("0.002 sec (1/640)", 1 / 640), ("28/10", 2.8), ("2,8", 2.8), ("50, 0, 0", 50.0), ((28, 10), 2.8),
        (((28, 10),), 2.8), (IFDRational(28, 10), 2.8), ([50], 50.0), ("1e-3 s", 0.001), (Fraction(1, 3), 1 / 3),
        ("2, 29200, 291, 218", None), ("28/0", None), ((1, 0), None), (IFDRational(1, 0), None), ("inf", None),
        (float("nan"), None), (True, None), (None, None), ("", None), ("1,250", None), ("1.2.3", None), ("12-15 mm", None),
    ],
)  # fmt: skip
def test_numbers_parse_in_each_notation(value: object, number: float | None) -> None:
    assert parse_number(value) == number


@pytest.mark.parametrize(
    ("exact", "nominal"),
    [
        ({"f_number": 2.83}, 2.8), ({"f_number": 3.4}, 3.5), ({"f_number": 200.0}, None), ({"f_number": 0.95}, 1.0),
        ({"exposure_time_s": 1 / 128}, 1 / 125), ({"exposure_time_s": 0.33}, 0.3), ({"exposure_time_s": 600.0}, None),
        ({"iso": 1250}, 1250), ({"iso": 70}, 64), ({"iso": 102_400}, 102_400),
    ],
)  # fmt: skip
def test_settings_are_rounded_to_nominal_values(exact: dict[str, float], nominal: float | None) -> None:
    (column,) = exact
    assert nominal_settings(**exact)[column] == nominal


@pytest.mark.parametrize("series", [NOMINAL_F_NUMBERS, NOMINAL_EXPOSURE_TIMES_S, NOMINAL_ISOS])
def test_nominal_values_are_third_stops(series: tuple[float, ...]) -> None:
    assert sorted(set(series)) == list(series)
    steps = [later / earlier for earlier, later in pairwise(series)]
    third = 2 ** (1 / 6) if series is NOMINAL_F_NUMBERS else 2 ** (1 / 3)
    assert all(third**0.5 < step < third**1.5 for step in steps)
