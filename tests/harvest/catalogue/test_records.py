"""Records of strangers: whatever a source yields is stored alike by SQLite and PostgreSQL."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, select

from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for
from lightmeter.harvest.catalogue.ingest import save_items
from lightmeter.harvest.catalogue.items import RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import Exif, HarvestRun, SightingRecord
from lightmeter.harvest.catalogue.outcomes import camera_body_hash
from lightmeter.harvest.catalogue.records import CleanRecord, clean_record
from lightmeter.harvest.catalogue.statistics import run_counts
from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.harvest.sources.base import Sighting, SourceRegion, Unreadable

SIGHTING = Sighting(source_id="1", media_url="https://example.org/1.jpg")
TEXTS = ("owner", "title", "file", "licence", "attribution", "page_url", "gone", "file_version")


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def hostile_values() -> st.SearchStrategy[Any]:
    """Values that a JSON document, a table or a plugin may have where another is expected."""
    odd = [
        None, True, 0, -1, 10**30, 1e308, float("nan"), float("inf"), "", "\0", "\ud83d", "x" * 20_000, "é" * 3000, b"\xff",
        "http://[broken/x", "http://a:b@example.org:99999/", f"data:image/png;base64,{'A' * 20_000}", [], {}, [None],
        {"a": {"b": float("nan")}}, deep(2000), np.float32(1.5), np.int64(3), datetime(1, 1, 1, tzinfo=UTC), Path("/a\udce9"),
    ]  # fmt: skip
    return st.sampled_from(odd) | st.text(max_size=20)


sightings = st.fixed_dictionaries(
    {"source_id": st.text(min_size=1, max_size=5)},
    optional={
        **dict.fromkeys(("media_url", *TEXTS, "medium", "exif_origin"), hostile_values()),
        **dict.fromkeys(
            ("tags", "concepts", "regions"), hostile_values().map(lambda value: (value,)) | hostile_values()
        ),
        **dict.fromkeys(
            ("exif", "metadata"), hostile_values().map(lambda value: {"FNumber": value}) | hostile_values()
        ),
        "published_at": st.datetimes(timezones=st.timezones()) | hostile_values(),
    },
).map(lambda fields: Sighting(**fields))


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[list[Engine]]:
    """A catalogue on SQLite and one on PostgreSQL."""
    from sqlalchemy import create_engine, text

    template = request.getfixturevalue("postgres")
    admin = create_engine(template.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS records WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE records"))
    admin.dispose()
    urls = [f"sqlite:///{tmp_path_factory.mktemp('records') / 'c.sqlite'}", template.format(name="records")]
    engines = [engine_for(url) for url in urls]
    for engine in engines:
        upgrade(engine)
    yield engines
    for engine in engines:
        engine.dispose()


def save(engine: Engine, items: list[Any]) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """Save items in a new run; return its counts and its rows."""
    context = SourceContext("site", frozenset({"https", "http"}))
    with engine.begin() as connection:
        row = {"source": "x", "query": {}, "options": {"require": []}}
        run = connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()
        for model in (Exif, SightingRecord):  # of the example before
            connection.execute(delete(model))
        save_items(connection, run, context, items, RunOptions(), {"page": 1})
    names = (
        "source_id",
        "media_url",
        "state",
        "reason",
        "medium",
        "published_at",
        "tags",
        "source_metadata",
        *TEXTS[:-2],
    )
    with engine.connect() as connection:
        query = select(*(getattr(SightingRecord, name) for name in names)).order_by(SightingRecord.id)
        rows = sorted((tuple(row) for row in connection.execute(query)), key=repr)
    return run_counts(engine, run)["total"], rows


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(sightings | hostile_values(), max_size=6))
def test_any_record_is_stored_alike_by_both_databases(engines: list[Engine], items: list[Any]) -> None:
    good = [replace(SIGHTING, source_id=name) for name in ("first-good", "last-good")]
    (sqlite, sqlite_rows), (postgresql, postgresql_rows) = (
        save(engine, [good[0], *items, good[1]]) for engine in engines
    )
    assert sqlite == postgresql
    assert sqlite_rows == postgresql_rows
    assert {"first-good", "last-good"} <= {row[0] for row in sqlite_rows}
    assert sqlite["found"] + sqlite["existing"] + sqlite["unreadable"] >= 2
    states = ("fetched", "skipped", "refused", "gone", "failed", "pending")
    assert sqlite["found"] == sum(sqlite[state] for state in states)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"title": 5}, "title is 5 (int) instead of a text"),
        ({"tags": "abc"}, "tags is 'abc' (str) instead of a tuple"),
        ({"tags": (1,)}, "tags contains 1 (int) instead of texts"),
        ({"medium": ["film"]}, "medium is ['film'] (list) instead of film or digital"),
        ({"published_at": "2020"}, "published_at is '2020' (str) instead of a datetime"),
        ({"media_url": Path("/a")}, "media_url is "),
        ({"metadata": []}, "metadata is [] (list) instead of a mapping"),
    ],
)
def test_wrong_type_names_field_and_package(fields: dict[str, Any], message: str) -> None:
    record = clean_record(replace(SIGHTING, **fields), "source 'x' of y 1.0")
    assert isinstance(record, CleanRecord)
    assert message in str(record.problem)
    assert "source 'x' of y 1.0" in str(record.problem)
    assert record.item.media_url is None


@pytest.mark.parametrize("item", [None, "text", Sighting(source_id=""), Sighting(source_id=3)])  # type: ignore[arg-type]
def test_what_has_no_identifier_is_unreadable(item: Any) -> None:
    assert isinstance(clean_record(item, "x"), Unreadable)


def clean(**fields: Any) -> Sighting:
    record = clean_record(replace(SIGHTING, **fields), "x")
    assert isinstance(record, CleanRecord)
    return record.item


def test_text_is_cleaned_and_cut() -> None:
    item = clean(title="a\0b\ud83d", owner="o" * 1000, licence="l" * 1000)
    assert item.title == "a\ufffdb\ufffd"
    assert item.owner is not None
    assert len(item.owner) == 255
    assert item.licence is not None
    assert len(item.licence) <= 64


def test_identifiers_stay_different() -> None:
    ids = ["a\0", "a\ufffd", "a\ud83d", "b" * 5000, "b" * 5000 + "c", "b" * 2000]
    assert len({clean(source_id=source_id).source_id for source_id in ids}) == len(ids)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/b%20c.jpg?again=1#x", "b c.jpg"),
        ("https://example.org/%C3%A9.jpg;v=1", "é.jpg;v=1"),
        ("https://example.org/..%2F..%2Fetc", ".._.._etc"),
        ("https://example.org/", None),
    ],
)
def test_file_is_the_decoded_last_part_of_the_path(url: str, name: str | None) -> None:
    assert clean(media_url=url).file == name


def test_credentials_are_not_stored() -> None:
    url = "https://ann:secret@example.org/1.jpg"
    record = clean_record(replace(SIGHTING, source_id=url, media_url=url, page_url=url, title=f"see {url}"), "x")
    assert isinstance(record, CleanRecord)
    assert record.authorisation is not None
    assert "secret" not in repr(record)


@pytest.mark.parametrize("hours", [-12, 0, 14])
@pytest.mark.parametrize("year", [1, 9999])
def test_time_that_a_time_zone_cannot_show_is_left_out(year: int, hours: int) -> None:
    time = clean(published_at=datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=hours)))).published_at
    assert time is None or 1 < time.year < 9999


def test_regions_outside_whole_numbers_are_left_out() -> None:
    boxes: list[tuple[Any, ...]] = [
        (1, 2, 3, 4),
        (10**30, 0, 1, 1),
        (float("nan"), 0, 1, 1),
        ("1", 0, 1, 1),
        (0.5, 0, 1, 1),
    ]
    regions = tuple(SourceRegion("face", *box) for box in boxes)
    assert [region.x for region in clean(regions=regions).regions] == [1]


def test_metadata_is_json_of_bounded_depth() -> None:
    item = clean(metadata={"deep": deep(3000), "nan": float("nan"), "big": 10**5000, 3: np.float64(2.5), "set": {1}})
    assert len(json.dumps(item.metadata, allow_nan=False)) < 1000
    assert item.metadata["3"] == 2.5


def test_one_camera_body_has_one_hash() -> None:
    names = [("Hasselblad", "X1D  II", "Sé 12"), ("HASSELBLAD ", "x1d ii", "Se\u0301  12")]
    hashes = {camera_body_hash("salt", ExifValues(make=make, model=model), serial) for make, model, serial in names}
    assert len(hashes) == 1
    assert camera_body_hash("other", ExifValues(make="Hasselblad", model="X1D II"), "Sé 12") not in hashes
    assert camera_body_hash("salt", ExifValues(make="Hasselblad", model="X1D II"), "Sé 13") not in hashes
