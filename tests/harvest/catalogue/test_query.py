"""The query language of ``--where`` on SQLite and PostgreSQL."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, Inspection, SightingRecord, SightingState
from lightmeter.harvest.catalogue.query.parser import parse_where

PHOTOS: dict[str, dict[str, Any]] = {
    "ann": {
        "file": {"iso": 100.0, "make": "Canon", "exposure_time_s": 1 / 500, "taken_at": "2019-05-03T10:00:00"},
        "sighting": {"source": "folder", "licence": "CC-BY-4.0", "owner": "Ann"},
        "verdict": {"verdict": "keep", "reason": None, "measures": {"laplacian_variance": 5.5}},
    },
    "nikon": {
        "file": {"iso": 800.0, "make": "NIKON", "flash_fired": True, "taken_at": "1993"},
        "sighting": {"source": "flickr", "licence": "CC-BY-SA-4.0"},
        "verdict": {"verdict": "drop", "reason": "grey", "measures": {"laplacian_variance": 80, "label": "text"}},
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
    | st.lists(st.sampled_from([*"()<>=~,.!'\"", "and", "or", "not", "in", "iso", "4", "is", "taken_at", "9999"])).map(
        " ".join
    )
)
def test_any_text_is_a_query_or_a_usage_error(query: str) -> None:
    with suppress(UsageError):
        parse_where(query)
