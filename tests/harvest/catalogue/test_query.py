"""The query language of ``--where`` on SQLite and PostgreSQL."""

import hashlib
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, insert, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import (
    Image,
)
from lightmeter.harvest.catalogue.query.parser import parse_where
from lightmeter.harvest.catalogue.query.saved import resolve_query
from lightmeter.harvest.exif.columns import EXIF_COLUMNS
from lightmeter.project import SETTINGS_FILE, Project
from lightmeter.text.names import name_key
from tests.harvest.catalogue.query_photos import QUERIES, insert_photos


@pytest.fixture
def photos(engine: Engine) -> dict[int, str]:
    """The names of the photographs by image id."""
    return insert_photos(engine)


def matching(engine: Engine, query: str) -> list[int]:
    """Return the ids of the images that match a query."""
    with engine.connect() as connection:
        return list(connection.scalars(select(Image.id).where(parse_where(query)).order_by(Image.id)))


def test_queries_select_matching_photographs(engine: Engine, photos: dict[int, str]) -> None:
    results = {query: " ".join(photos[image_id] for image_id in matching(engine, query)) for query in QUERIES}
    assert results == QUERIES


EXTREME_QUERIES = [
    f"iso in ({', '.join(str(number) for number in range(5_000))})",
    f"owner in ({', '.join(f'Émile{number}' for number in range(2_000))}, émile)",
    f"monochrome in ({', '.join(f'r{number}' for number in range(2_000))}, keep)",
    " or ".join(["iso = 100"] * 190),
    "(" * 25 + "iso > 1" + ")" * 25,
    "(iso > 1 or (width > 1 and " * 12 + "iso > 1" + "))" * 12,
    "not " * 50 + "iso > 1",
    "quality.sharpness > -1e300",
    *(f"taken_at {sign} {date}" for sign in ("=", "<=", ">") for date in ("0001", "9999", "9999-12-31")),
    *(f"published_at {sign} {date}" for sign in ("=", "<=", ">") for date in ("0001", "9999", "9999-12-31")),
]


def test_extreme_queries_run_on_both_databases(engine: Engine, photos: dict[int, str]) -> None:
    for query in EXTREME_QUERIES:
        matching(engine, query)
    hashes = ", ".join(f"{number:064X}" for number in range(5_000))
    assert len(matching(engine, f"sha256 in ({hashes})")) == len(photos)
    assert not matching(engine, "quality.label > 3")  # a text


@pytest.mark.parametrize(
    "query",
    [
        "(" * 500 + "iso > 1" + ")" * 500,
        "not " * 5_000 + "iso > 1",
        " or ".join(["iso = 100"] * 2_000),
        f"iso in ({', '.join(['1'] * 20_000)})",
        f"tag in ({', '.join(['a'] * 2_000)})",
        f"owner ~ {'%' * 60_000}",
        "iso = 1e999",
        "iso = 1e999999999999",
        "iso = nan",
        "iso = 1/0",
    ],
)
def test_query_beyond_the_limits_is_refused(query: str) -> None:
    with pytest.raises(UsageError):
        parse_where(query)


def test_databases_compare_names_as_python_does(engine: Engine) -> None:
    letters = (chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in {"Cc", "Cn", "Co", "Cs"})
    text = "|\u3000".join(letter for letter in letters if name_key(letter) != letter) + "  ΣΑΣ "
    with engine.connect() as connection:
        assert connection.scalar(select(func.name_key(text))) == name_key(text)


def test_values_are_escaped_in_sql(engine: Engine, photos: dict[int, str]) -> None:
    assert len(matching(engine, "owner != \"x' or '1'='1\"")) == len(photos)


@pytest.mark.parametrize(
    ("query", "column", "message"),
    [
        ("isso <= 400", 1, "did you mean iso"),
        ("iso <= 400 and monochrom", 16, "did you mean monochrome"),
        ("iso <=", 7, "unexpected end of query; expected a value"),
        ("iso", 1, "'iso' needs a comparison"),
        ("iso < fast", 7, "'fast' is not a number"),
        ("iso ~ 4", 7, "numbers do not support ~"),
        ("taken_at = yesterday", 12, "'yesterday' is not a date"),
        ("iso < 400 adn make = Canon", 11, "unknown field 'adn'; did you mean and"),
        ("iso < 400 && make = Canon", 11, "unexpected '&&'; write 'and'"),
        ("camera:leica venice", 14, "to search for a word, write text:venice"),
        ("!monochrome", 1, "unexpected '!monochrome'; write 'not'"),
        ("iso:100 - 400", 9, "without a blank beside '-'"),
        ("iso: 100", 6, "directly after ':'"),
        ("owner:Ann's iso:100", 10, "in a pair of quotation marks"),
        ("iso:100)", 8, "expected the end of query"),
        ("-@mine", 2, "no saved query '@mine'"),
        ("(iso < 400", 11, "unexpected end of query"),
        ("flash_fired = perhaps", 15, "yes or no"),
        ("iso:100 f:wide", 11, "'wide' is not a number"),
        ("iso:", 1, "'iso:' needs a value"),
        ("iso:-", 5, "neither a lower nor an upper end"),
        ("-isso:100", 2, "did you mean iso"),
        ("f:2.8 -monochrom", 8, "did you mean monochrome"),
        ("and iso:100", 1, "unexpected 'and'; expected a field"),
        ("@mine", 1, "no saved query '@mine'"),
        ("share:4/3", 7, "a share is 2/3"),
    ],
)
def test_invalid_query_error_marks_column(query: str, column: int, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_where(query)
    sentence, (line, pointer) = str(caught.value), caught.value.details
    assert "?." not in sentence
    assert f"column {column}:" in sentence
    assert (line, pointer) == (query, " " * (column - 1) + "^")


@settings(deadline=None, max_examples=15)
@given(
    st.text(max_size=40)
    | st.tuples(st.sampled_from(["iso:", "-f:", "shutter:", "date:", "label.x:", "@"]), st.text(max_size=20)).map(
        "".join
    )
    | st.lists(st.sampled_from([*"()<>=~,.!'\"", "and", "or", "not", "in", "iso", "4", "is", "taken_at", "9999"])).map(
        " ".join
    )
)
def test_any_text_is_a_query_or_a_usage_error(query: str) -> None:
    with suppress(UsageError):
        parse_where(query)


@settings(deadline=None, max_examples=20)
@given(
    st.tuples(st.sampled_from(["f_number", "exposure_time_s", "iso", "focal_length_mm"]), st.floats(0.5, 3000))
    | st.tuples(st.just("exposure_time_s"), st.floats(1 / 32000, 0.5))
)
def test_setting_matches_how_it_is_written(setting: tuple[str, float]) -> None:
    column, value = setting
    text = EXIF_COLUMNS[column].format(value)
    assert evaluates(parse_where(f"{column}:'{text}'"), value), text
    assert evaluates(parse_where(f"{column}:'{text}..{text}'"), value), text
    assert not evaluates(parse_where(f"{column}:'{text}'"), value * 2.3), text


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(1, 100_000).map(lambda value: round(value, 1)), min_size=3, max_size=3))
def test_range_has_both_ends_in_either_order(numbers: list[float]) -> None:
    first, last, value = numbers
    inside = min(first, last) - 0.5 <= value <= max(first, last) + 0.5
    results = {evaluates(parse_where(f"iso:{a}-{b}"), value) for a, b in ((first, last), (last, first))}
    assert len(results) == 1
    if inside != results.pop():
        assert min(abs(value - first), abs(value - last)) <= 0.5  # within what is shown


def evaluates(condition: Any, value: float) -> bool:
    """Return whether the bounds that a compiled query compares with include a value."""
    bounds = [number for number in condition.compile().params.values() if isinstance(number, float)]
    return min(bounds) <= value <= max(bounds)


def test_saved_queries_stand_for_their_text(project: Path, engine: Engine, photos: dict[int, str]) -> None:
    queries = {"cheap": "iso:100-400", "mine": "@cheap )", "both": "-(@cheap or iso = 800) -@cheap", "a": "@b"}
    home = Project(project)
    set_queries(home, queries | {"b": "@a"})
    assert resolve_query("@both f:2.8 and owner = '@cheap'", home) == (
        "(-((iso:100-400) or iso = 800) -(iso:100-400)) f:2.8 and owner = '@cheap'"
    )
    assert [photos[image] for image in matching(engine, resolve_query("@cheap", home))] == ["ann", "film"]
    for query, message in {
        "@chep": "saved query 'chep'; did you mean cheap",
        "@a": "contains itself",
        "@mine": "Saved query 'mine': Invalid query",
        "label.medum:film": "target 'medum'; did you mean medium",
        "not label.medum is known": "did you mean medium",
        "iso:100 -label.medum:film": "did you mean medium",
    }.items():
        with pytest.raises(UsageError, match=message):
            resolve_query(query, home)


def set_queries(project: Project, queries: dict[str, str]) -> None:
    """Write saved queries to the settings."""
    lines = "".join(f"{name} = {query!r}\n" for name, query in queries.items())
    with (project.root / SETTINGS_FILE).open("a") as file:
        file.write(f"\n[queries]\n{lines}")


def test_shares_divide_photographs_and_overlap_as_asked(engine: Engine) -> None:
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2_000)]
    image = {"format": "JPEG", "width": 640, "height": 480, "file_size": 1000}
    with engine.begin() as connection:
        connection.execute(insert(Image), [{"sha256": sha256, **image} for sha256 in hashes])
    shares = [set(matching(engine, f"share:{number}/3")) for number in (1, 2, 3)]
    assert sum(map(len, shares)) == len(set().union(*shares)) == len(hashes)
    assert min(map(len, shares)) > 600
    common = set.intersection(*(set(matching(engine, f"share:{number}/3+10")) for number in (1, 2, 3)))
    assert 150 < len(common) < 260
