"""``catalogue list`` and ``catalogue export``: columns, order, formats and the quoting of each."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select, update

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.export.columns import camera_name
from lightmeter.harvest.catalogue.models import Exif, Image, Label, SightingRecord
from lightmeter.project import Project
from tests.support import run_error, run_json, run_text

HOSTILE = [
    "=HYPERLINK(1)", "a|b_c*d", r"100 % & $x_1 {y} ~ ^ \\ # --", "<script>alert(1)</script>", "tab\tline\nend", "[x]* \"q\" 'r'",
]  # fmt: skip


@pytest.fixture
def hostile(harvested: Project) -> Project:
    """A project of which the titles are markup, one photograph per title, with labels."""
    with open_engine(harvested).begin() as connection:
        rows = connection.execute(select(SightingRecord.id, SightingRecord.image_id).order_by(SightingRecord.id)).all()
        rows = [row for row in rows if row.image_id]
        for title, (sighting, image) in zip(HOSTILE, rows, strict=False):
            connection.execute(update(SightingRecord).where(SightingRecord.id == sighting).values(title=title))
            for value, origin in (("film", "rule"), ("digital", "manual")):
                label = {"image_id": image, "target": "medium", "value": value, "origin": origin, "author": "a"}
                connection.execute(insert(Label).values(**label))
    return harvested


def table(name: str, *options: str) -> str:
    """Export a table with titles, settings and labels, and return the file's text."""
    columns = "title,camera,shutter,exposure_time_s,aperture,iso,label.medium"
    run_json("catalogue", "export", name, "--columns", columns, "--where", "title is known", *options)
    return "" if name.endswith((".xlsx", ".parquet")) else Path(name).read_text()


def test_tables_for_programs_hold_the_same_values(hostile: Project) -> None:
    records = [json.loads(line) for line in table("t.jsonl").splitlines()]
    assert [record["title"] for record in records] == HOSTILE
    assert {record["label.medium"] for record in records} == {"digital"}
    assert records[0] | {"title": ""} == {
        "title": "", "camera": "Lightmeter Works", "shutter": "1/125 s", "exposure_time_s": 1 / 125, "aperture": "f/2.8",
        "iso": 200.0, "label.medium": "digital",
    }  # fmt: skip
    table("t.parquet")
    assert pq.read_table("t.parquet").to_pylist() == records
    table("t.xlsx")
    heading, *cells = openpyxl.load_workbook("t.xlsx").active.iter_rows()
    assert [cell.value for cell in heading] == list(records[0])
    assert [[cell.value for cell in row] for row in cells] == [list(record.values()) for record in records]
    assert {cell.data_type for row in cells for cell in row} == {"s", "n"}
    assert [row[0].quotePrefix for row in cells] == [True, *[False] * 5]
    for name, delimiter in (("t.csv", ","), ("t.tsv", "\t")):
        rows = list(csv.DictReader(io.StringIO(table(name)), delimiter=delimiter))
        assert [row["title"] for row in rows] == ["'=HYPERLINK(1)", *HOSTILE[1:]]
        assert {row["exposure_time_s"] for row in rows} == {"0.008"}


def test_tables_for_people_quote_their_markup(hostile: Project) -> None:
    heading, rule, *rows = table("t.md").splitlines()
    assert heading == "| Title | Camera | Shutter speed | Shutter speed | Aperture | ISO | Medium |"
    assert rule == "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    cells = [re.split(r"(?<!\\\\) \| ", row.strip("| ")) for row in rows]
    assert {len(row) for row in cells} == {7}
    assert cells[0][1:] == ["Lightmeter Works", "1/125 s", "1/125 s", "f/2.8", "200", "digital"]
    assert [row[0] for row in cells][1] == r"a\|b\_c\*d"
    assert "<script" not in "".join(rows)

    latex = table("t.tex")
    assert latex.count(r"\\" + "\n") == 1 + len(HOSTILE)
    assert r"100 \% \& \$x\_1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}" in latex
    assert r"\begin{tabular}{llrrrrl}" in latex
    assert "{[}x]{*}" in latex

    page = _Table()
    page.feed(table("t.html"))
    assert [row[0] for row in page.rows[1:]] == [title.replace("\t", " ").replace("\n", " ") for title in HOSTILE]
    assert page.tags.isdisjoint({"script"})


class _Table(HTMLParser):
    """Reads the cells and the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self._open = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        self._open = tag in ("td", "th")
        if self._open:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.rows[-1][-1] += data.rstrip("\n")


def test_rows_are_sorted_with_missing_values_last(harvested: Project) -> None:
    with open_engine(harvested).begin() as connection:
        images = connection.scalars(select(Image.id).order_by(Image.id)).all()
        for image, iso in zip(images, (100.0, 3200.0, None, 50.0), strict=False):
            connection.execute(update(Exif).where(Exif.image_id == image).values(iso=iso))
    isos = [row["iso"] for row in run_json("catalogue", "list", "--sort", "iso,file", "--columns", "iso")]
    assert isos == [50.0, 100.0, 200.0, 200.0, 200.0, 3200.0, None]
    rows = run_json("catalogue", "list", "--sort", "-iso,-file", "--columns", "iso,file", "--limit", "5")
    assert [row["iso"] for row in rows] == [3200.0, 200.0, 200.0, 200.0, 100.0]
    files = [row["file"] for row in rows[1:4]]
    assert files == sorted(files, reverse=True)


def test_list_shows_settings_as_photographers_write_them(harvested: Project) -> None:
    text = run_text("catalogue", "list", "--where", "f:2.8 shutter:1/125", "--limit", "2")
    assert "1/125 s" in text
    assert "f/2.8" in text
    assert "--limit 0 lists all" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["t.ods"], "choose a file name that ends in .csv, .tsv"),
        (["t.csv", "--columns", "file,fil"], "Unknown column 'fil'; did you mean"),
        (["t.csv", "--columns", "file,,iso"], "needs names with commas"),
        (["t.csv", "--columns", "file,FILE"], "named twice"),
        (["t.csv", "--sort", "isso"], "Unknown column 'isso'; did you mean iso"),
        (["t.csv", "--sort", "attribution"], "cannot be sorted"),
        (["t.md", "--format", "csv"], "contradicts"),
    ],
)
def test_misuse_is_refused_without_a_file(harvested: Project, args: list[str], message: str) -> None:
    assert message in run_error("catalogue", "export", *args)
    assert not Path(args[0]).exists()


def test_every_column_has_an_example_or_none(harvested: Project) -> None:
    columns = {row["name"]: row for row in run_json("catalogue", "columns")}
    assert columns["shutter"]["example"] == "1/125 s"
    assert columns["exposure_time_s"]["unit"] == "s"
    run_json("catalogue", "export", "t.parquet", "--columns", ",".join(columns))
    assert pq.read_schema("t.parquet").names == list(columns)


def test_camera_name_does_not_repeat_the_make() -> None:
    assert camera_name("Canon", "Canon EOS 5D") == "Canon EOS 5D"
    assert camera_name(None, "X100") == "X100"
    assert camera_name("Leica", None) == "Leica"
    assert camera_name(None, None) is None


@pytest.mark.plots
def test_statistics_count_each_photograph_once_by_any_column(hostile: Project) -> None:
    with open_engine(hostile).begin() as connection:
        connection.execute(update(Exif).where(Exif.image_id == 1).values(exposure_time_s=1 / 500, taken_at="2019-05"))
        run = connection.scalar(select(SightingRecord.run_id).limit(1))
        again = {"run_id": run, "source": "x", "source_id": "again", "image_id": 1, "state": "fetched"}
        connection.execute(insert(SightingRecord).values(**again))
    result = run_json("catalogue", "stats", "--by", "camera,shutter,year,title,label.medium", "--html", "stats.html")
    assert result["photographs"] == 7
    assert list(result["by"]["shutter"]["counts"].items()) == [("1/500 s", 1), ("1/125 s", 6)]
    assert result["by"]["year"] == {"counts": {"2019": 1}, "unknown": 6}
    assert result["by"]["label.medium"]["counts"] == {"digital": 6}
    page = Path("stats.html").read_text()
    assert page.count("<svg") == 5
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "1/500 s" in run_text("catalogue", "stats", "--where", "iso:200")
    assert "did you mean camera" in run_error("catalogue", "stats", "--by", "camra")
