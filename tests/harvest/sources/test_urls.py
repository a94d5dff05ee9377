"""Tests of the source ``urls`` with each list format."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightmeter.errors import UsageError
from lightmeter.harvest.exif.normalise import normalise
from lightmeter.harvest.sources.base import Checkpoint, Item, Sighting
from lightmeter.harvest.sources.urls import Urls
from lightmeter.settings import Settings
from tests.support import LOOPBACK, CommandRunner, Site, jpeg

COLUMNS = {
    "url": "https://example.org/1.jpg", "source_id": "a1", "owner": "Ada", "license": "CC BY 4.0", "title": "Fog",
    "tags": "film; leica", "concepts": "harbour|fog", "medium": "film", "published_at": "2020-05-04",
    "exif.FNumber": "5.6", "exif.ExposureTime": "1/250", "rating": "5",
}  # fmt: skip


def discover(file: Path, cursor: dict[str, Any] | None = None, **options: Any) -> list[Item]:
    return list(Urls(Settings()).discover(Urls.Query(file=file, **options), cursor))


def list_items(file: Path, cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting]:
    return [item for item in discover(file, cursor, **options) if isinstance(item, Sighting)]


def test_text_file_has_a_url_per_line(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("# photographs\nhttps://example.org/1.jpg\n\n  https://example.org/2.jpg  \n")
    assert [item.media_url for item in list_items(file)] == ["https://example.org/1.jpg", "https://example.org/2.jpg"]
    assert list_items(file, medium="film", assume_licence="CC0-1.0")[0].licence == "CC0-1.0"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_columns_become_item(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"list.{suffix}"
    if suffix == "parquet":
        lists = {"tags": ["film", "leica"], "concepts": ["harbour", "fog"]}
        pq.write_table(pa.Table.from_pylist([COLUMNS | lists]), file)
    else:
        between = "," if suffix == "csv" else "\t"
        file.write_text(f"{between.join(COLUMNS)}\n{between.join(COLUMNS.values())}\n")
    (item,) = list_items(file)
    assert (item.source_id, item.owner, item.licence, item.title) == ("a1", "Ada", "CC BY 4.0", "Fog")
    assert (item.tags, item.concepts, item.medium) == (("film", "leica"), ("harbour", "fog"), "film")
    assert item.published_at is not None
    values = normalise(item.exif)  # type: ignore[arg-type]
    assert (values.f_number, values.exposure_time_s) == (5.6, 1 / 250)
    assert item.metadata == {"rating": "5"}


def test_url_column_can_be_selected(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("address,note\nhttps://example.org/1.jpg,x\n")
    assert list_items(file, column="address")[0].source_id == "https://example.org/1.jpg"
    with pytest.raises(UsageError, match="--column"):
        list_items(file)


def test_discovery_resumes_at_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("\n".join(f"https://example.org/{number}.jpg" for number in range(1_200)))
    checkpoint = next(item for item in discover(file) if isinstance(item, Checkpoint))
    assert len(list_items(file, checkpoint.cursor)) == 700


def test_unreadable_list_raises_error(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(UsageError, match="cannot be read"):
        list_items(tmp_path / "x.parquet")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_table_of_any_program_is_read(tmp_path: Path, encoding: str, separator: str, line_end: str) -> None:
    rows = [("Owner", " URL ", "Title"), ("Zoë", "https://example.org/1.jpg", '"a, b; c"'), ("", "", "")]
    text = line_end.join(separator.join(row) for row in rows)
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    (item,) = list_items(tmp_path / "list.csv")
    assert (item.owner, item.media_url, item.title) == ("Zoë", "https://example.org/1.jpg", "a, b; c")


def test_separator_line_of_excel_is_read(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("sep=;\nurl;owner\nhttps://example.org/1.jpg;Ann\n")
    assert [item.owner for item in list_items(tmp_path / "list.csv")] == ["Ann"]


def test_broken_rows_are_unreadable_and_others_are_read(tmp_path: Path) -> None:
    long = "x" * (1 << 24 | 1)
    cells = [["url", "title"], ["https://example.org/1.jpg", long[:200_000]], ["", "no address"], ["u", long]]
    cells.append(["https://example.org/2.jpg", "last"])
    (tmp_path / "list.csv").write_text("\n".join(",".join(row) for row in cells))
    items = discover(tmp_path / "list.csv")
    assert [type(item).__name__ for item in items] == ["Sighting", "Unreadable", "Unreadable", "Sighting"]


def test_values_of_any_type_in_parquet_are_read(tmp_path: Path) -> None:
    nan = float("nan")
    rows = [
        {"url": "https://example.org/1.jpg", "source_id": nan, "tags": [nan, None, "fog"][:1], "medium": ["film"]},
        {"url": "https://example.org/2.jpg", "source_id": nan, "tags": [], "medium": []},
        {"url": None, "source_id": 3.0, "tags": None, "medium": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "list.parquet")
    items = discover(tmp_path / "list.parquet")
    assert [type(item).__name__ for item in items] == ["Sighting", "Sighting", "Unreadable"]
    assert {item.source_id for item in items if isinstance(item, Sighting)} == {row["url"] for row in rows[:2]}


def test_harvest_run_fills_catalogue(lightmeter: CommandRunner, site: Site, project: Path) -> None:
    site.add_photo("/1.jpg", jpeg(1))
    (project / "list.csv").write_text(
        f"url,owner\n{site.url}/1.jpg,Ada\n{site.url}/2.jpg,Bob\nfile:///etc/passwd,Eve\nnonsense,Eve\n"
    )
    counts = lightmeter("harvest", "run", "urls", "list.csv", env=LOOPBACK)
    assert {name: counts[name] for name in ("found", "fetched", "gone", "refused")} == {
        "found": 4, "fetched": 1, "gone": 1, "refused": 2,
    }  # fmt: skip
