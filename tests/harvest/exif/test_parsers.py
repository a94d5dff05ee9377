"""Parsers of single EXIF values."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.TiffImagePlugin import IFDRational

from lightmeter.harvest.exif import parsers
from tests.harvest.exif.strategies import VALUES

F_NUMBERS = st.integers(7, 640).map(lambda tenths: Fraction(tenths, 10))
DENOMINATORS = st.integers(1, 8000)


@given(F_NUMBERS)
def test_all_notations_of_an_f_number_agree(n: Fraction) -> None:
    notations = [n, float(n), IFDRational(n.numerator, n.denominator), (n.numerator, n.denominator), f"{n.numerator}/{n.denominator}",
             f"f/{float(n)}", f"F{float(n)}", str(float(n)), f"{float(n)}".replace(".", ",")]  # fmt: skip
    assert {parsers.f_number(value) for value in notations} == {float(n)}
    apex = 2 * math.log2(n)
    for value in (apex, repr(apex), Fraction(apex).limit_denominator(1 << 16)):
        assert parsers.f_number_apex(value) == pytest.approx(float(n), rel=1e-3)


@given(DENOMINATORS)
def test_all_notations_of_an_exposure_time_agree(d: int) -> None:
    notations = [
        Fraction(1, d),
        1 / d,
        (1, d),
        (10, 10 * d),
        f"1/{d}",
        f"1/{d} s",
        f"{1 / d:.3g} sec (1/{d})",
        f"10/{10 * d}",
    ]
    assert {parsers.exposure_time(value) for value in notations} == {1 / d}
    assert parsers.exposure_time_apex(math.log2(d)) == (pytest.approx(1 / d) if d > 1 else None)  # 0: unknown


@given(st.integers(1, 65_534))
def test_all_notations_of_an_iso_agree(n: int) -> None:
    notations = [n, (n,), [n, 0, 0], f"{n}", f"{n}, 0, 0", f"ISO {n}", f"{n}/1", Fraction(n)]
    assert {parsers.iso(value) for value in notations} == {float(n)}


@pytest.mark.parametrize(
    ("text", "number"),
    [("12,800", 12800), ("1,600", 1600), ("12 800", 12800), ("12.800", 12800), ("12\u202f800", 12800), ("102,400", 102400),
     ("100.000", 100), ("100 100", 100), ("100,100", 100), ("0, 400", 400), ("1,600, 0", 1600), ("12,800,", 12800), ("100,0,0", 100), ("ISO 400/27°", 400), ("400/27", None), ("Auto", None)],
)  # fmt: skip
def test_thousands_of_an_iso_are_separated_in_any_way(text: str, number: float | None) -> None:
    assert parsers.iso(text) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1⁄125", 0.008), ("1∕125 s", 0.008), ("¼ s", 0.25), ("1½ s", None), ("2″", 2.0), ("8 ms", 0.008), ("2 min", 120.0), ("1/1,250", 0.0008), ('2"', 2.0),
     ("1/125 sec.", 0.008), ("1/60 to 1/30", None), ("30 frames", None), ("0.5 s (auto)", 0.5)],
)  # fmt: skip
def test_exposure_times_count_in_the_unit_that_follows(text: str, seconds: float | None) -> None:
    assert parsers.exposure_time(text) == seconds


@pytest.mark.parametrize(
    ("text", "millimetres"),
    [("24–70 mm", None), ("24 to 70 mm", None), ("50 cm", 500.0), ("50.0 mm (35 mm equivalent: 75.0 mm)", 50.0)],
)  # fmt: skip
def test_focal_lengths_are_one_number(text: str, millimetres: float | None) -> None:
    assert parsers.focal_length(text) == millimetres


def test_iso_overflow_is_missing() -> None:
    assert parsers.iso(65_535) is None


@given(VALUES)
def test_parsers_return_plausible_values_for_any_input(value: object) -> None:
    for parse, (low, high) in (
        (parsers.f_number, parsers.PLAUSIBLE_F_NUMBER_RANGE), (parsers.f_number_apex, parsers.PLAUSIBLE_F_NUMBER_RANGE),
        (parsers.exposure_time, parsers.PLAUSIBLE_EXPOSURE_TIME_RANGE_S), (parsers.exposure_time_apex, parsers.PLAUSIBLE_EXPOSURE_TIME_RANGE_S),
        (parsers.iso, parsers.PLAUSIBLE_ISO_RANGE), (parsers.focal_length, parsers.PLAUSIBLE_FOCAL_LENGTH_RANGE_MM), (parsers.orientation, (1, 8)),
    ):  # fmt: skip
        parsed = parse(value)
        assert parsed is None or low <= parsed <= high
    assert parsers.flash_fired(value) is None or isinstance(parsers.flash_fired(value), bool)
    text = parsers.text(value)
    assert text is None or (text and "\0" not in text and len(text) <= 200)
    assert parsers.date_time(value) is None or isinstance(parsers.date_time(value), str)


@pytest.mark.parametrize(
    ("value", "offset", "expected"),
    [
        ("2020:05:17 12:34:56", None, "2020-05-17T12:34:56"),
        ("2020:05:17 12:34:56", "+02:00", "2020-05-17T12:34:56+02:00"),
        ("2020-05-17T12:34:56Z", "+02:00", "2020-05-17T12:34:56+00:00"),
        ("2020:05:17 12:34:56.25", None, "2020-05-17T12:34:56"),
        ("2020:05:17", None, "2020-05-17"),
        ("2004:05:06 24:00:00", None, "2004-05-07T00:00:00"),
        ("2004:12:31 23:59:60", None, "2005-01-01T00:00:00"),
        ("2002:11: 4", None, "2002-11-04"),
        ("2003: 06: 04 00: 22: 11", None, "2003-06-04T00:22:11"),
        ("20040506 070809", None, "2004-05-06T07:08:09"),
        ("1993:08:  :  :  :  ", None, "1993-08"),
        ("1993:08:     :  :  ", None, "1993-08"),
        ("2004:05:06   :  :  ", None, "2004-05-06"),
        ("    :  :     :  :  ", None, None),
        ("2004:06:21 2 :37:53", None, None),
        ("2004:06:21 25:37:53", None, None),
        ("2020:13:45 12:34:56", None, None),
        ("0000:00:00 00:00:00", None, None),
        ("0001:01:01 00:00:00", None, None),
        ("2020:05:17 12:34:56", "+99:00", "2020-05-17T12:34:56"),
        ("yesterday", None, None),
    ],
)
def test_dates_are_normalised_to_iso_8601(value: str, offset: str | None, expected: str | None) -> None:
    assert parsers.date_time(value, offset) == expected


@pytest.mark.parametrize(
    ("value", "fired"),
    [(0, False), (16, False), (25, True), ("89", True), ("Off, Did not fire", False), ("On, Fired", True),
     ("Auto, Did not fire", False), ("Flash did not fire", False), ("No Flash", False), (b"?", None), (-1, None)],
)  # fmt: skip
def test_flash_values_and_labels(value: object, fired: bool | None) -> None:
    assert parsers.flash_fired(value) is fired


def test_text_has_no_control_characters() -> None:
    assert parsers.text("\x1b[31mred\x1b[0m\0\r\n ink ") == "[31mred [0m ink"
    assert parsers.text("Kamera M\xc3\xbcller") == "Kamera Müller"  # UTF-8 decoded as Latin-1
    assert parsers.text("x" * 60_000) == "x" * 200
