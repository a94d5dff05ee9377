"""The query language of --where."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from lightmeter.cli import main
from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import Image, Inspection, Sighting
from lightmeter.harvest.catalogue.query.parser import parse_where


def fill(catalogue: Any) -> dict[int, str]:
    """Add three photographs; return their names by id."""
    names = {
        catalogue.photograph(
            iso=100.0,
            make="Canon",
            exposure_time_s=1 / 500,
            licence="CC-BY-4.0",
            owner="Ann",
            taken_at="2019-05-03T10:00:00",
        ): "ann",
        catalogue.photograph(
            iso=800.0, make="NIKON", licence="CC-BY-SA-4.0", source="flickr", flash_fired=True
        ): "nikon",
        catalogue.photograph(api={"iso": 400.0}, licence="CC0-1.0", medium="film"): "film",
    }
    ids = {name: image for image, name in names.items()}
    with catalogue.engine.begin() as connection:
        for name, verdict, reason, sharpness in (("ann", "keep", None, 5.5), ("nikon", "drop", "grey", 80)):
            for filter_name in ("monochrome", "quality"):
                row = {"image_id": ids[name], "filter": filter_name, "version": 1, "verdict": verdict, "reason": reason}
                connection.execute(insert(Inspection).values(**row, measures={"sharpness": sharpness}))
        connection.execute(
            update(Sighting).where(Sighting.image_id == ids["film"]).values(tags=["Sunset", 'the "sea"', "Âme_100%"])
        )
    return names


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("iso <= 400", "ann film"),
        ("iso = 400", "film"),
        ("iso != 400", "ann nikon"),
        ("not iso < 400", "nikon film"),
        ("exposure_time_s <= 1/250", "ann"),
        ("not exposure_time_s <= 1/250", "nikon film"),
        ("exposure_time_s is missing", "nikon film"),
        ("exposure_time_s is known", "ann"),
        ("make = canon", "ann"),
        ("make ~ IKO", "nikon"),
        ("licence = CC-BY", "ann"),
        ("licence in (CC0, CC-BY)", "ann film"),
        ("source = flickr or medium = film", "nikon film"),
        ("source = folder and (owner = ann or owner is missing)", "ann film"),
        ("monochrome", "nikon"),
        ("not monochrome", "ann film"),
        ("monochrome = grey", "nikon"),
        ("monochrome = keep", "ann"),
        ("quality.sharpness > 10", "nikon"),
        ("quality.nothing > 10", ""),
        ("flash_fired", "nikon"),
        ("flash_fired = no", ""),
        ("taken_at = 2019-05", "ann"),
        ("taken_at < 2019", ""),
        ("taken_at >= 2019-05-03 and taken_at <= 2019", "ann"),
        ("tag = sunset", "film"),
        ("tag ~ sun", "film"),
        ("tag = sun", ""),
        ("tag = 'the \"sea\"'", "film"),
        ("tag = Âme_100%", "film"),
        ("tag ~ me_1%", ""),
        ("owner = Émile or title = 50%", ""),
        ('width >= 640 and format = "jpeg"', "ann nikon film"),
        ("iso <= 400 and not monochrome and licence in (CC0, CC-BY)", "ann film"),
    ],
)
def test_a_query_chooses_photographs(any_catalogue: Any, query: str, chosen: str) -> None:
    names = fill(any_catalogue)
    found = any_catalogue.rows(select(Image.id).where(parse_where(query)).order_by(Image.id))
    assert " ".join(names[row[0]] for row in found) == chosen


@pytest.mark.parametrize(
    ("query", "column", "told"),
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
def test_a_wrong_word_is_pointed_at(query: str, column: int, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse_where(query)
    sentence, line, pointer = str(caught.value).splitlines()
    assert "?." not in sentence
    assert f"column {column}:" in sentence
    assert line == f"  {query}"
    assert pointer == " " * (column + 1) + "^"


def test_every_command_that_goes_through_photographs_takes_one(
    catalogue: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(catalogue)

    def told(*words: str) -> Any:
        capsys.readouterr()
        assert main([*words, "--where", "iso <= 100", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert told("labels", "apply", "iso")["iso"]["labelled"] == {"100": 1}
    assert told("labels", "stats", "iso")["photographs"] == 1
    assert told("labels", "export", "labels.csv")["labels"] == 1
    assert told("labels", "audit", "iso") == []
    assert told("catalogue", "export")["rows"] == 1
    for author in ("ann", "bob"):
        assert main(["labels", "set", "1.jpg", "2.jpg", "medium=film", "--author", author]) == 0
    assert told("labels", "agreement", "medium", "ann", "bob")["photographs"] == 1


@settings(deadline=None)
@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([*"()<>=~,.!'\"", "and", "or", "not", "in", "iso", "4", "is"])).map(" ".join)
)
def test_whatever_is_written_is_a_query_or_one_sentence(query: str) -> None:
    with suppress(UsageError):
        parse_where(query)


def test_values_are_never_sql(catalogue: Any) -> None:
    names = fill(catalogue)
    found = catalogue.rows(select(Image.id).where(parse_where("owner != \"x' or '1'='1\"")))
    assert len(found) == len(names)
