"""The query language of ``--where`` on SQLite and PostgreSQL."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import (
    Exif,
    HarvestRun,
    Image,
    Inspection,
    Label,
    SightingRecord,
    SightingState,
)
from lightmeter.harvest.catalogue.query.parser import parse_where
from lightmeter.harvest.catalogue.query.saved import resolve_query
from lightmeter.harvest.exif.columns import EXIF_COLUMNS
from lightmeter.project import SETTINGS_FILE, Project

PHOTOS: dict[str, dict[str, Any]] = {
    "ann": {
        "file": {
            "iso": 100.0, "make": "Canon", "model": "EOS 5D", "exposure_time_s": 1 / 500, "f_number": 2.828,
            "focal_length_mm": 50.2, "taken_at": "2019-05-03T10:00:00",
        },
        "sighting": {"source": "folder", "licence": "CC-BY-4.0", "owner": "Ann"},
        "verdict": {"verdict": "keep", "reason": None, "measures": {"laplacian_variance": 5.5}},
        "labels": [
            ("medium", "film", "rule", "lightmeter"), ("medium", "film", "manual", "a"), ("medium", None, "manual", "a"),
            ("medium", "digital", "import", "b"), ("concept", "beach|sea", "rule", "lightmeter"),
        ],
    },
    "nikon": {
        "file": {"iso": 800.0, "make": "NIKON", "flash_fired": True, "taken_at": "1993", "f_number": 4.0},
        "sighting": {"source": "flickr", "licence": "CC-BY-SA-4.0"},
        "verdict": {"verdict": "drop", "reason": "grey", "measures": {"laplacian_variance": 80, "label": "text"}},
        "labels": [("medium", "digital", "manual", "a"), ("medium", "film", "manual", "b")],
    },
    "film": {
        "api": {"iso": 400.0, "taken_at": "1993-08"},
        "sighting": {
            "source": "folder", "licence": "CC0-1.0", "medium": "film", "tags": ["Sunset", 'the "sea"', "Âme_100%"]
        },
    },
}  # fmt: skip
"""Photographs by name: EXIF of the file and of the API, sighting, and the result of two filters."""

QUERIES = {
    "iso <= 400": "ann film",
    "iso = 400": "film",
    "iso != 400": "ann nikon",
    "not iso < 400": "nikon film",
    "exposure_time_s <= 1/250": "ann",
    "not exposure_time_s <= 1/250": "nikon film",
    "exposure_time_s is missing": "nikon film",
    "exposure_time_s is known": "ann",
    "make = canon": "ann",
    "make ~ IKO": "nikon",
    "licence = CC-BY": "ann",
    "licence in (CC0, CC-BY)": "ann film",
    "source = flickr or medium = film": "nikon film",
    "source = folder and (owner = ann or owner is missing)": "ann film",
    "monochrome": "nikon",
    "not monochrome": "ann film",
    "monochrome = grey": "nikon",
    "monochrome = keep": "ann",
    "quality.laplacian_variance > 10": "nikon",
    "quality.nothing > 10": "",
    "flash_fired": "nikon",
    "flash_fired = no": "",
    "flash_fired:yes": "nikon",
    "taken_at = 2019-05": "ann",
    "taken_at < 2019": "nikon film",
    "taken_at = 1993": "nikon film",
    "taken_at = 1993-08": "film",
    "taken_at = 1993-08-05": "",
    "taken_at < 1993-09 or taken_at < 1993-08-05": "film",
    "taken_at <= 1993-08": "film",
    "taken_at > 1993-07": "ann film",
    "taken_at >= 1993-08-02": "ann",
    "licence = 'cc by'": "ann",
    "licence = 'Creative Commons Attribution-ShareAlike 4.0 International'": "nikon",
    "licence in ('CC BY 4.0', 'CC Zero')": "ann film",
    "taken_at >= 2019-05-03 and taken_at <= 2019": "ann",
    "tag = sunset": "film",
    "tag ~ sun": "film",
    "tag = sun": "",
    "tag = 'the \"sea\"'": "film",
    "tag = Âme_100%": "film",
    "tag ~ me_1%": "",
    "owner = Émile or title = 50%": "",
    'width >= 640 and format = "jpeg"': "ann nikon film",
    "iso <= 400 and not monochrome and licence in (CC0, CC-BY)": "ann film",
    "iso:100-400": "ann film",
    "iso:400-100": "ann film",
    "iso:100,400": "ann film",
    "iso:500-": "nikon",
    "iso:..100": "ann",
    "iso:>400": "nikon",
    "iso:>=400 -make:nikon": "film",
    "f:2.8": "ann",
    "f:2.83": "ann",
    "f:2.9-4": "nikon",
    "f:f/2.8-f/4": "ann nikon",
    "f:2.8-4 iso:100-400": "ann",
    "shutter:1/500-1/60": "ann",
    "shutter:'1/60 s - 1/500 s'": "ann",
    "shutter:1/2-1/3": "",
    "mm:50mm": "ann",
    "camera:canon": "ann",
    "camera:'canon eos'": "ann",
    "camera = 'Canon EOS 5D'": "ann",
    "camera is missing": "film",
    "owner:an": "ann",
    "licence:CC0,CC-BY": "ann film",
    "year:2015-2020": "ann",
    "year:1993": "nikon film",
    "date:1993-08": "film",
    "date:1993-08..2019-05-03": "ann film",
    "tag:sunset": "film",
    "tag:sun": "",
    "quality.laplacian_variance:5-6": "ann",
    "quality.laplacian_variance:-1..5.5": "ann",
    "monochrome:grey or film:yes medium:film": "nikon",
    "label.medium:film": "nikon",
    "label.medium = digital": "ann",
    "label.medium is missing": "film",
    "label.concept:sea": "ann",
    "conflict.medium": "nikon",
    "-conflict.medium:yes": "ann film",
    "author.medium:b": "ann nikon",
    "conflict.medium -author.medium:c": "nikon",
    "author.medium is missing": "film",
    "share:1/1": "ann nikon film",
    "share:2/2+100": "ann nikon film",
    "aperture >= 2.8 and mm is known": "ann",
}
"""Queries with the names of the photographs that match."""


@pytest.fixture
def photos(engine: Engine) -> dict[int, str]:
    """The names of the photographs by image id."""
    names = {}
    with engine.begin() as connection:
        run = connection.scalar(insert(HarvestRun).values(source="x", query={}, options={}).returning(HarvestRun.id))
        for number, (name, photo) in enumerate(PHOTOS.items()):
            image = {"sha256": f"{number:064}", "format": "JPEG", "width": 640, "height": 480, "file_size": 1000}
            image_id = connection.scalar(insert(Image).values(image).returning(Image.id))
            assert image_id is not None
            names[image_id] = name
            sighting = {"run_id": run, "source_id": name, "state": SightingState.FETCHED, "image_id": image_id}
            query = insert(SightingRecord).values(**sighting, **photo["sighting"]).returning(SightingRecord.id)
            sighting_id = connection.scalar(query)
            connection.execute(insert(Exif).values(image_id=image_id, origin="file", **photo.get("file", {})))
            connection.execute(insert(Exif).values(sighting_id=sighting_id, origin="api", **photo.get("api", {})))
            for target, value, origin, author in photo.get("labels", ()):
                row = {"image_id": image_id, "target": target, "value": value, "origin": origin, "author": author}
                connection.execute(insert(Label).values(**row))
            for filter_name in ("monochrome", "quality") if "verdict" in photo else ():
                result = {"image_id": image_id, "filter": filter_name, "version": 1}
                connection.execute(insert(Inspection).values(**result, **photo["verdict"]))
    return names


def matching(engine: Engine, query: str) -> list[int]:
    """Return the ids of the images that match a query."""
    with engine.connect() as connection:
        return list(connection.scalars(select(Image.id).where(parse_where(query)).order_by(Image.id)))


def test_queries_select_matching_photographs(engine: Engine, photos: dict[int, str]) -> None:
    results = {query: " ".join(photos[image_id] for image_id in matching(engine, query)) for query in QUERIES}
    assert results == QUERIES


EXTREME_QUERIES = [
    f"iso in ({', '.join(str(number) for number in range(5_000))})",
    f"owner in ({', '.join(f'Émile{number}' for number in range(5_000))}, émile)",
    f"monochrome in ({', '.join(f'r{number}' for number in range(5_000))}, keep)",
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
        ("iso < 400 adn make = Canon", 11, "unexpected 'adn'; expected 'and' or 'or'"),
        ("(iso < 400", 11, "unexpected end of query"),
        ("flash_fired = perhaps", 15, "yes or no"),
        ("iso:100 f:wide", 11, "'wide' is not a number"),
        ("iso:", 1, "'iso:' needs a value"),
        ("iso:-", 5, "neither a lower nor an upper end"),
        ("-isso:100", 2, "did you mean iso"),
        ("f:2.8 monochrome", 7, "unexpected 'monochrome'; expected 'and'"),
        ("@mine", 1, "no saved query '@mine'"),
        ("share:4/3", 7, "a share is 2/3"),
    ],
)
def test_invalid_query_error_marks_column(query: str, column: int, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_where(query)
    sentence, line, pointer = str(caught.value).splitlines()
    assert "?." not in sentence
    assert f"column {column}:" in sentence
    assert line == f"  {query}"
    assert pointer == " " * (column + 1) + "^"


@settings(deadline=None)
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


@settings(deadline=None, max_examples=60)
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


@settings(deadline=None, max_examples=40)
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
    queries = {"cheap": "iso:100-400", "mine": "@cheap not_b", "both": "(@cheap or iso = 800) -make:nikon", "a": "@b"}
    home = Project(project)
    set_queries(home, queries | {"b": "@a"})
    assert resolve_query("@both f:2.8 and owner = '@cheap'", home) == (
        "(((iso:100-400) or iso = 800) -make:nikon) f:2.8 and owner = '@cheap'"
    )
    assert [photos[image] for image in matching(engine, resolve_query("@cheap", home))] == ["ann", "film"]
    for query, message in {
        "@chep": "saved query 'chep'; did you mean cheap",
        "@a": "contains itself",
        "@mine": "Saved query 'mine': Invalid query",
        "label.medum:film": "target 'medum'; did you mean medium",
        "not label.medum is known": "did you mean medium",
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
