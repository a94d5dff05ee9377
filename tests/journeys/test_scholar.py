"""A scholar's job on the command line and in the web browser: from a folder of photographs to a paper's table and a data set of her own labels.

No step needs another program: tables, bulk labels, several annotators and removal are commands.
"""

import csv
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import CommandRunner, create_project, encode_image, exif_tags, wait_until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CAMERAS = {"Canon": (2.8, 0.008, 100, 50.0), "NIKON": (5.6, 1 / 60, 400, 35.0), "Leica": (8.0, 0.002, 200, 28.0)}


@pytest.fixture
def scholar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that is the working directory, beside a folder with 60 photographs of fifteen photographers."""
    from PIL import Image

    for number in range(60):
        make, settings = list(CAMERAS.items())[number % 3]
        tags = dict(zip((0x829D, 0x829A, 0x8827, 0x920A), settings, strict=True))
        path = tmp_path / "photographs" / f"person {number % 15}" / f"p{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.effect_noise((96, 64), 40 + number).convert("RGB")
        path.write_bytes(encode_image(picture, exif=exif_tags(tags, make=make, model=f"Model {number % 3}")))
    create_project(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


@contextmanager
def review(lightmeter: CommandRunner, *args: str) -> Iterator[str]:
    """Run ``labels review`` until the end of the block, and yield the address that it prints."""
    command = lightmeter.command("labels", "review", *args, "--port", "0", "--no-open")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().removeprefix("Open ").strip()
        finally:
            process.terminate()


def test_scholar_makes_a_table_labels_and_a_data_set(
    scholar: Path, lightmeter: CommandRunner, browser: "Chrome"
) -> None:
    options = ("--owner-from-folders", "--assume-licence", "CC0-1.0")
    lightmeter("harvest", "run", "folder", scholar / "photographs", *options)

    # the table of the paper
    assert "1/125 s" in lightmeter.run("catalogue", "list", "--limit", "5").output
    columns = "file,camera,shutter,aperture,focal_length,iso"
    lightmeter(
        "catalogue", "export", "table.tex", "--columns", columns, "--where", "f:2.8-5.6 iso:100-400", "--sort", "file"
    )
    lines = Path("table.tex").read_text().splitlines()
    assert r"p000.jpg & Canon Model 0 & 1/125 s & f/2.8 & 50 mm & 100 \\" in lines
    assert sum(line.startswith("p0") for line in lines) == 40
    assert lightmeter("catalogue", "stats", "--by", "camera,shutter", "--html", "stats.html")["photographs"] == 60

    # labels: for all, from a spreadsheet, by two annotators, and one who decides
    with Path("lightmeter.toml").open("a") as settings:
        settings.write('\n[queries]\nportraits = "f:2.8 mm:50"\n')
    lightmeter("labels", "target", "new", "indoor", "--classes", "indoor,outdoor")
    assert (
        lightmeter("labels", "set", "--where", "camera:nikon", "indoor=indoor", "--author", "ann", "--dry-run")[
            "photographs"
        ]
        == 20
    )
    lightmeter("labels", "set", "--where", "camera:nikon", "indoor=indoor", "--author", "ann")
    lightmeter("labels", "set", "--where", "@portraits", "indoor=outdoor", "--author", "ann")
    rows = [(f"person {number % 15}/p{number:03}.jpg", "outdoor") for number in range(2, 60, 3)]
    rows[0] = ("p001.jpg", "outdoor")
    with Path("mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "indoor"), *rows, ("p999.jpg", "indoor")])
    preview = lightmeter("labels", "import", "mine.csv", "--author", "bob", "--dry-run")
    assert (preview["added"], preview["unknown"]) == (20, ["p999.jpg"])
    lightmeter("labels", "import", "mine.csv", "--author", "bob")
    disputed = lightmeter("catalogue", "list", "--where", "conflict.indoor -author.indoor:eve", "--columns", "file")
    assert [Path(row["file"]).name for row in disputed] == ["p001.jpg"]
    with review(lightmeter, "indoor", "--author", "eve", "--where", "conflict.indoor -author.indoor:eve") as url:
        browser.get(url)
        wait_until(lambda: len(browser.find_elements("css selector", "figure")) == 1)
        browser.switch_to.active_element.send_keys("2")
        wait_until(lambda: "outdoor (manual)" in browser.find_element("css selector", "figure").text)
    (decided,) = lightmeter("catalogue", "list", "--where", "author.indoor:eve", "--columns", "file,label.indoor")
    assert decided["label.indoor"] == "outdoor"
    left = lightmeter.run("catalogue", "list", "--where", "conflict.indoor -author.indoor:eve")
    assert "No photograph matches" in left.error
    shares = [lightmeter("catalogue", "list", "--where", f"share:{part}/2", "--columns", "file") for part in (1, 2)]
    assert sum(map(len, shares)) == 60

    # a data set of her own classes, and what is no longer needed
    lightmeter("labels", "split", "indoor-v1", "--target", "indoor", "--ratios", "60/20/20")
    (entry,) = lightmeter("labels", "list")
    assert (entry["name"], sum(entry["counts"].values())) == ("indoor-v1", 59)
    lightmeter("catalogue", "export", "labels.xlsx", "--columns", "file,label.indoor", "--sort", "label.indoor,file")
    assert "confirm with --yes" in lightmeter.run("labels", "remove", "indoor-v1").error
    lightmeter("labels", "remove", "indoor-v1", "--yes")
    assert lightmeter("labels", "list") == []
