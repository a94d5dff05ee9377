"""``lightmeter serve demo``: the page on which a person drops a photograph, in a real browser."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IFDRational
from selenium.webdriver import Chrome

from lightmeter.project import Project
from lightmeter.serve.torchserve.state import server_directory
from lightmeter.serve.web_demo.format import format_number, quantity_of_target, read_settings, rotate_box
from lightmeter.serve.web_demo.server import Page, page
from tests.browser import complaints, until
from tests.serve.support import Server, make_photograph
from tests.support import run_command

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def put_up(served: Server) -> Iterator[Page]:
    with showing(served) as shown:
        yield shown


@contextmanager
def showing(behind: Server) -> Iterator[Page]:
    """Put up the page of a server."""
    with page(server_directory(behind.project, behind.name), 0, 1_000_000) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def open_page(browser: Chrome, address: str) -> None:
    """Open the page, and wait until its script has run, which the driver does not always do."""
    browser.get("about:blank")  # or the page that is left could pass for the one that comes
    browser.get(address)
    until(lambda: browser.execute_script("return typeof read === 'function'"))


def choose(browser: Chrome, put_up: Page, file: Path) -> None:
    """Open the page and choose a file on it."""
    open_page(browser, put_up.address)
    browser.find_element("id", "file").send_keys(str(file))


DROP = """
const [name, encoded] = arguments;
const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
const carried = new DataTransfer();
carried.items.add(new File([bytes], name, { type: "image/jpeg" }));
for (const kind of ["dragover", "drop"]) {
  const event = new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true });
  document.querySelector(arguments[2]).dispatchEvent(event);
}
"""


def drop(browser: Chrome, name: str, data: bytes, where: str = "#drop") -> None:
    """Drop a photograph on the page that is open."""
    browser.execute_script(DROP, name, base64.b64encode(data).decode(), where)


def photograph_with_exif(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769).update({0x829A: IFDRational(1, 250), 0x829D: 2.8, 0x8827: 400, 0x920A: 35.0})
    file = io.BytesIO()
    Image.open(io.BytesIO(make_photograph())).save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


def test_a_person_chooses_a_photograph_and_sees_the_reading_beside_the_exif(
    put_up: Page, browser: Chrome, served: Server, tmp_path: Path
) -> None:
    photograph = tmp_path / "<b>photograph.jpg"
    photograph.write_bytes(photograph_with_exif())
    (answer,) = run_command("serve", "predict", "tiny", photograph, "--json", project=served.project.root).document

    choose(browser, put_up, photograph)
    until(browser.find_element("id", "reading").is_displayed)

    found = answer["predictions"]["shutter"]
    row = browser.find_element("css selector", "#reading tbody tr").text
    assert row.startswith(f"shutter speed {found['class']}")
    assert f"{round(100 * found['probabilities'][found['class']])} %" in row
    assert row.endswith("1/250 s")
    assert "<b>photograph.jpg: read by tiny 1.0" in browser.find_element("id", "state").text
    assert len(browser.find_elements("css selector", "#shown option")) == 2
    assert browser.find_element("id", "picture").size == {"width": 320, "height": 240}
    assert complaints(browser) == []


def test_the_patches_are_drawn_on_the_picture(put_up: Page, browser: Chrome, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (400, 300), (128, 128, 128)).save(grey)

    choose(browser, put_up, grey)
    until(browser.find_element("id", "legend").is_displayed)

    coloured = browser.execute_script(
        "const c = document.getElementById('picture');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 0; i < d.length; i += 4) n += Math.abs(d[i] - d[i + 1]) > 20; return n"
    )
    assert coloured > 2 * 4 * 50
    assert "black and white" in browser.find_element("id", "warnings").text


@pytest.mark.parametrize("where", ["#drop", "footer"])
def test_a_photograph_can_be_dropped_anywhere(put_up: Page, browser: Chrome, where: str) -> None:
    open_page(browser, put_up.address)

    drop(browser, "dropped.jpg", photograph_with_exif(), where)
    until(browser.find_element("id", "reading").is_displayed)

    row = browser.find_element("css selector", "#reading tbody tr").text
    assert "(on average 1/" in row
    assert row.endswith("1/250 s")
    assert "dropped.jpg: read by tiny 1.0" in browser.find_element("id", "state").text


def test_nothing_reaches_beyond_a_narrow_screen(put_up: Page, browser: Chrome) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    )
    open_page(browser, put_up.address)

    drop(browser, f"{'0123456789' * 8}.jpg", photograph_with_exif())
    until(browser.find_element("id", "reading").is_displayed)

    width = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360


def test_of_two_photographs_the_last_is_shown(put_up: Page, browser: Chrome) -> None:
    open_page(browser, put_up.address)

    for name in ("first.jpg", "second.jpg"):
        drop(browser, name, make_photograph())
    state = browser.find_element("id", "state")
    until(lambda: "read by" in state.text)
    time.sleep(0.5)  # for an answer about the first, if it came

    assert "second.jpg" in state.text
    assert len(browser.find_elements("css selector", "#reading tbody tr")) == 2  # one a target


def test_a_server_that_was_stopped_is_told(place: Project, browser: Chrome, served: Server) -> None:
    there = server_directory(place, "passing")
    there.folder.mkdir()
    there.write(served.state)
    with showing(Server(place, "passing")) as server:
        there.forget()
        open_page(browser, server.address)
        drop(browser, "photograph.jpg", make_photograph())

        state = browser.find_element("id", "state")
        until(lambda: "serve start" in state.text)
    assert state.get_attribute("class") == "wrong"
    assert all("503" in complaint for complaint in complaints(browser))


@pytest.fixture(scope="module")
def other_page(fusion: Server) -> Iterator[Page]:
    with showing(fusion) as shown:
        yield shown


def test_several_classes_are_shown_each_with_its_certainty(
    other_page: Page, browser: Chrome, fusion: Server, tmp_path: Path
) -> None:
    photograph = tmp_path / "wide.jpg"
    photograph.write_bytes(make_photograph(0, (1000, 300)))
    found = fusion.ask("/predictions/fusion", content=photograph.read_bytes(), headers={"Content-Type": "a/b"}).json()
    concept = found["predictions"]["concept"]

    choose(browser, other_page, photograph)
    until(browser.find_element("id", "reading").is_displayed)

    row = browser.find_element("css selector", "#reading tbody tr").text
    assert len(concept["classes"]) > 1
    assert row.startswith(f"concept {', '.join(concept['classes'])}")
    for label in concept["classes"]:
        assert f"{round(100 * concept['probabilities'][label])} % {label}" in row
    assert browser.find_element("id", "warnings").text == found["warnings"][0]["reason"]
    assert not browser.find_element("id", "legend").is_displayed()
    assert complaints(browser) == []


def test_a_file_that_is_no_photograph_is_answered_with_the_reason(
    put_up: Page, browser: Chrome, tmp_path: Path
) -> None:
    words = tmp_path / "words.jpg"
    words.write_text("no picture")

    choose(browser, put_up, words)

    state = browser.find_element("id", "state")
    until(lambda: "no image" in state.text)
    assert state.get_attribute("class") == "wrong"
    assert not browser.find_element("id", "reading").is_displayed()


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"X-Lightmeter": "page"}, "/read", 200),
        ({}, "/read", 404),
        ({"X-Lightmeter": "page", "Host": "elsewhere.example"}, "/read", 404),
        ({"X-Lightmeter": "page"}, "/../key_file.json", 404),
    ],
    ids=["the page itself", "another site", "another name", "another path"],
)
def test_the_page_reads_only_what_it_sent_itself(put_up: Page, headers: dict[str, str], path: str, status: int) -> None:
    answer = httpx.post(put_up.address.rstrip("/") + path, content=make_photograph(), headers=headers, trust_env=False)

    assert answer.status_code == status


def test_the_page_refuses_what_is_too_large(put_up: Page) -> None:
    answer = httpx.post(
        put_up.address + "read", content=bytes(1_000_001), headers={"X-Lightmeter": "page"}, trust_env=False
    )

    assert answer.status_code == 413


def test_exif_is_written_as_photographers_write_it() -> None:
    assert read_settings(photograph_with_exif(6)) == (
        {"aperture": "f/2.8", "shutter": "1/250 s", "iso": "ISO 400", "focal-length": "35 mm"},
        6,
    )
    assert read_settings(b"no picture") == ({}, 1)
    assert [format_number("shutter", seconds) for seconds in (1 / 8000, 0.4, 30, 125)] == [
        "1/8000 s",
        "0.4 s",
        "30 s",
        "125 s",
    ]
    assert [format_number("aperture", number) for number in (1.4, 5.66, 22)] == ["f/1.4", "f/5.7", "f/22"]
    assert quantity_of_target("shutter-binary") == quantity_of_target("shutter") == "shutter"
    assert quantity_of_target("focal-length") == "focal-length"
    assert quantity_of_target("medium") == "medium"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_the_picture(orientation: int) -> None:
    box = {"x": 30, "y": 10, "width": 20, "height": 20}
    pixels = np.zeros((60, 100), np.uint8)
    pixels[10:30, 30:50] = 255
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation

    shown = np.asarray(ImageOps.exif_transpose(image))

    turned = rotate_box(box, 100, 60, orientation)
    x, y = turned["x"], turned["y"]
    assert (shown[y : y + turned["height"], x : x + turned["width"]] == 255).all()


def test_without_a_server_there_is_no_page(tmp_path: Path, served: Server) -> None:
    said = run_command("serve", "demo", "--server", "never", "--json", project=served.project.root)

    assert said.code == 1
    assert "serve start" in said.document["error"]
