"""Tests of the source ``folder``."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.support import CommandRunner


def sum_of_states(counts: dict[str, int]) -> int:
    return sum(counts[state] for state in ("fetched", "skipped", "refused", "gone", "failed", "pending"))


def test_every_file_gets_state_and_reason(lightmeter: CommandRunner, project: Path, photographs: Path) -> None:
    counts = lightmeter("harvest", "run", "folder", photographs)
    assert counts["found"] == 9 == sum_of_states(counts)
    assert counts["fetched"] == 6
    assert counts["failed"] == 3
    status = lightmeter("harvest", "status")
    assert {(r["state"], r["reason"]) for r in status["total"]["reasons"]} == {
        ("failed", "empty"),
        ("failed", "truncated"),
        ("failed", "not an image"),
    }


def test_stored_bytes_equal_file(lightmeter: CommandRunner, project: Path, photographs: Path) -> None:
    lightmeter("harvest", "run", "folder", photographs)
    stored = {path.name: path.read_bytes() for path in (project / "store").rglob("*") if path.is_file()}
    assert len(stored) == 7
    for path in photographs.rglob("[0-9].jpg"):
        assert stored[hashlib.sha256(path.read_bytes()).hexdigest()] == path.read_bytes()
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in stored.items())


def test_damaged_files_are_stored_and_marked(lightmeter: CommandRunner, project: Path, photographs: Path) -> None:
    lightmeter("harvest", "run", "folder", photographs)
    with create_engine(f"sqlite:///{project / 'catalogue.sqlite'}").connect() as connection:
        rows = connection.execute(text("SELECT sha256, problem FROM images WHERE problem IS NOT NULL")).all()
    cut = (photographs / "ansel" / "cut.jpg").read_bytes()
    assert rows == [(hashlib.sha256(cut).hexdigest(), "truncated")]


def test_second_run_fetches_nothing(lightmeter: CommandRunner, project: Path, photographs: Path) -> None:
    lightmeter("harvest", "run", "folder", photographs)
    again = lightmeter("harvest", "run", "folder", photographs)
    assert (again["found"], again["existing"]) == (0, 9)
    assert lightmeter("harvest", "status")["total"]["found"] == 9


def test_source_options_reach_catalogue(lightmeter: CommandRunner, project: Path, photographs: Path) -> None:
    lightmeter(
        "harvest",
        "run",
        "folder",
        photographs,
        "--owner-from-folders",
        "--medium",
        "film",
        "--assume-licence",
        "CC0-1.0",
    )
    table = lightmeter("catalogue", "export", "out.parquet")
    import pyarrow.parquet as pq

    rows = pq.read_table(table["file"]).to_pylist()
    assert {row["owner"] for row in rows} == {"ansel", "berenice"}
    assert {row["licence"] for row in rows} == {"CC0-1.0"}
    assert {row["f_number"] for row in rows if row["file"] != "cut.jpg"} == {2.8}


def test_limit_and_required_tags_are_applied(lightmeter: CommandRunner, project: Path, photographs: Path) -> None:
    counts = lightmeter("harvest", "run", "folder", photographs / "berenice", "--limit", "2", "--require", "lens,iso")
    assert (counts["found"], counts["skipped"], counts["fetched"]) == (2, 2, 0)
    assert lightmeter("harvest", "status")["total"]["reasons"][0]["reason"] == "required EXIF missing"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("folder", "nowhere"), "nowhere is not a folder"),
        (("foldr", "."), "foldr"),
        (("folder", ".", "--medium", "paint"), "paint"),
        (("folder", ".", "--require", "f_numbr"), "did you mean f_number?"),
        (("folder",), "Missing argument"),
    ],
)
def test_invalid_use_prints_a_single_sentence(
    lightmeter: CommandRunner, project: Path, args: tuple[str, ...], message: str
) -> None:
    result = lightmeter.run("harvest", "run", *args)
    assert result.code == 2
    assert message in result.error
    assert len(result.error.strip().splitlines()) == 1
    assert result.output == ""
