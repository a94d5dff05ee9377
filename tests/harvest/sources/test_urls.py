"""Tests of the source ``urls`` with each list format."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightmeter.errors import UsageError
from lightmeter.harvest.exif.normalise import normalise
from lightmeter.harvest.sources.base import Checkpoint, Sighting
from lightmeter.harvest.sources.urls import Urls
from lightmeter.settings import Settings
from tests.support import LOOPBACK, CommandRunner, Site, jpeg

COLUMNS = {
    "url": "https://example.org/1.jpg", "source_id": "a1", "owner": "Ada", "license": "CC BY 4.0", "title": "Fog",
    "tags": "film; leica", "concepts": "harbour|fog", "medium": "film", "published_at": "2020-05-04",
    "exif.FNumber": "5.6", "exif.ExposureTime": "1/250", "rating": "5",
}  # fmt: skip


def discover(file: Path, cursor: dict[str, Any] | None = None, **options: Any) -> list[Sighting | Checkpoint]:
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


@pytest.mark.parametrize(
    ("name", "content"), [("x.parquet", b"no parquet"), ("x.txt", b"\xff\xfe\xff"), ("x.csv", b"url\n\xff\n")]
)
def test_unreadable_list_raises_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        list_items(tmp_path / name)


def test_harvest_run_fills_catalogue(lightmeter: CommandRunner, site: Site, project: Path) -> None:
    site.add_photo("/1.jpg", jpeg(1))
    (project / "list.csv").write_text(
        f"url,owner\n{site.url}/1.jpg,Ada\n{site.url}/2.jpg,Bob\nfile:///etc/passwd,Eve\nnonsense,Eve\n"
    )
    counts = lightmeter("harvest", "run", "urls", "list.csv", env=LOOPBACK)
    assert {name: counts[name] for name in ("found", "fetched", "gone", "refused")} == {
        "found": 4, "fetched": 1, "gone": 1, "refused": 2,
    }  # fmt: skip
