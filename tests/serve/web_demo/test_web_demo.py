"""``lightmeter serve demo``: the page in a real browser, and its protection against foreign requests."""

import base64
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver import Chrome

from lightmeter.project import Project
from lightmeter.serve.torchserve.state import server_directory
from lightmeter.serve.web_demo.server import web_demo
from lightmeter.web import LocalServer
from tests.browser import console_errors
from tests.serve.support import HTTP, OCTET_STREAM, RunningServer, make_photo, photo_with_exif, run_in_project
from tests.support import CommandRunner, wait_until

pytestmark = pytest.mark.server


@contextmanager
def demo_page(project: Project, server: str) -> Iterator[str]:
    """Serve the demo page and yield its URL."""
    with LocalServer(web_demo(project, server)) as local:
        yield local.url


@pytest.fixture(scope="module")
def url(server: RunningServer) -> Iterator[str]:
    with demo_page(server.project, server.name) as url:
        yield url


def open_page(browser: Chrome, url: str) -> None:
    """Open the page and wait until its script has run."""
    browser.get("about:blank")  # otherwise the previous page could be mistaken for the new one
    browser.get(url)
    wait_until(lambda: browser.execute_script("return typeof predict === 'function'"))


def select_file(browser: Chrome, url: str, file: Path) -> None:
    """Open the page and select a file."""
    open_page(browser, url)
    browser.find_element("id", "file").send_keys(str(file))


DROP = """
const [name, encoded, selector] = arguments;
const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
for (const type of ["dragover", "drop"]) {
  const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(event);
}
"""


def drop(browser: Chrome, name: str, data: bytes, selector: str = "#drop") -> None:
    """Drop a photograph on an element of the open page."""
    browser.execute_script(DROP, name, base64.b64encode(data).decode(), selector)


def first_row(browser: Chrome) -> str:
    """Wait for the results and return their first row."""
    wait_until(browser.find_element("id", "results").is_displayed)
    return browser.find_element("css selector", "#results tbody tr").text


def test_selected_photo_is_shown_with_predictions_and_exif(
    url: str, browser: Chrome, server: RunningServer, tmp_path: Path
) -> None:
    photo = tmp_path / "<b>photo.jpg"
    photo.write_bytes(photo_with_exif())
    (document,) = run_in_project("serve", "predict", "tiny", photo, project=server.project).document
    shutter = document["predictions"]["shutter"]

    select_file(browser, url, photo)
    row = first_row(browser)

    assert row.startswith(f"shutter speed {shutter['class']}")
    assert f"{round(100 * shutter['probabilities'][shutter['class']])} %" in row
    assert row.endswith("1/250 s")
    assert "<b>photo.jpg: predicted by tiny 1.0" in browser.find_element("id", "status").text
    assert len(browser.find_elements("css selector", "#target option")) == 2
    assert browser.find_element("id", "photo").size == {"width": 320, "height": 240}
    assert console_errors(browser) == []


def test_patches_are_drawn_on_the_photo(url: str, browser: Chrome, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (400, 300), (128, 128, 128)).save(grey)

    select_file(browser, url, grey)
    wait_until(browser.find_element("id", "legend").is_displayed)

    coloured_pixels = browser.execute_script(
        "const c = document.getElementById('photo');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 0; i < d.length; i += 4) n += Math.abs(d[i] - d[i + 1]) > 20; return n"
    )
    assert coloured_pixels > 2 * 4 * 50
    assert "black and white" in browser.find_element("id", "warnings").text


@pytest.mark.parametrize("selector", ["#drop", "footer"])
def test_photo_can_be_dropped_anywhere(url: str, browser: Chrome, selector: str) -> None:
    open_page(browser, url)

    drop(browser, "dropped.jpg", photo_with_exif(), selector)
    row = first_row(browser)

    assert "(mean 1/" in row
    assert row.endswith("1/250 s")
    assert "dropped.jpg: predicted by tiny 1.0" in browser.find_element("id", "status").text


def test_page_fits_a_narrow_screen(url: str, browser: Chrome) -> None:
    metrics = {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    open_page(browser, url)

    drop(browser, f"{'0123456789' * 8}.jpg", photo_with_exif())
    first_row(browser)

    width = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360


def test_last_of_two_photos_is_shown(url: str, browser: Chrome) -> None:
    open_page(browser, url)

    for name in ("first.jpg", "second.jpg"):
        drop(browser, name, make_photo())
    status = browser.find_element("id", "status")
    wait_until(lambda: "predicted by" in status.text)
    time.sleep(0.5)  # for a late response to the first

    assert "second.jpg" in status.text
    assert len(browser.find_elements("css selector", "#results tbody tr")) == 2  # one for each target


def test_page_reports_that_the_server_was_stopped(
    serve_project: Project, browser: Chrome, server: RunningServer
) -> None:
    directory = server_directory(serve_project, "stopped")
    directory.path.mkdir()
    directory.write(replace(server.state, folder=str(directory.path)))
    with demo_page(serve_project, "stopped") as url:
        directory.remove()
        open_page(browser, url)
        drop(browser, "photo.jpg", make_photo())

        status = browser.find_element("id", "status")
        wait_until(lambda: "serve start" in status.text)
    assert status.get_attribute("class") == "error"
    assert all("503" in error for error in console_errors(browser))


def test_multilabel_target_is_shown_with_each_probability(
    browser: Chrome, fusion_server: RunningServer, tmp_path: Path
) -> None:
    photo = tmp_path / "wide.jpg"
    photo.write_bytes(make_photo(0, (1000, 300)))
    response = fusion_server.post("/predictions/fusion", content=photo.read_bytes(), headers=OCTET_STREAM).json()
    concept = response["predictions"]["concept"]

    with demo_page(fusion_server.project, fusion_server.name) as url:
        select_file(browser, url, photo)
        row = first_row(browser)

    assert len(concept["classes"]) > 1
    assert row.startswith(f"concept {', '.join(concept['classes'])}")
    for label in concept["classes"]:
        assert f"{round(100 * concept['probabilities'][label])} % {label}" in row
    assert browser.find_element("id", "warnings").text == response["warnings"][0]["reason"]
    assert not browser.find_element("id", "legend").is_displayed()
    assert console_errors(browser) == []


def test_invalid_photo_is_reported_with_the_reason(url: str, browser: Chrome, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    expected = HTTP.post(f"{url}/predict", content=b"no image", headers={"X-Lightmeter": "page"}).json()

    select_file(browser, url, text)

    status = browser.find_element("id", "status")
    wait_until(lambda: expected["error"]["reason"] in status.text)
    assert status.get_attribute("class") == "error"
    assert not browser.find_element("id", "results").is_displayed()


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"X-Lightmeter": "page"}, "/predict", 200),
        ({}, "/predict", 403),
        ({"X-Lightmeter": "page", "Host": "elsewhere.example"}, "/predict", 400),
        ({"X-Lightmeter": "page"}, "/../key_file.json", 404),
    ],
    ids=["page", "other site", "other host", "other path"],
)
def test_web_demo_rejects_foreign_requests(url: str, headers: dict[str, str], path: str, status: int) -> None:
    response = HTTP.post(url + path, content=make_photo(), headers=headers)

    assert response.status_code == status


def test_too_large_photo_is_refused(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTMETER_SERVE__MAX_REQUEST_BYTES", "1000000")
    with demo_page(Project(server.project.root), server.name) as url:
        response = HTTP.post(f"{url}/predict", content=bytes(1_000_001), headers={"X-Lightmeter": "page"})

    assert response.status_code == 413


def test_demo_command_serves_the_page_until_ctrl_c(server: RunningServer, lightmeter: CommandRunner) -> None:
    command = lightmeter.command("--project", server.project.root, "serve", "demo", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = "".join(process.stdout.readline() for _ in range(3))
        page = HTTP.get(json.loads(output)["page"])
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)

    assert "<title>Lightmeter</title>" in page.text
    assert (process.returncode, error) == (0, "")


def test_demo_requires_a_running_server(server: RunningServer) -> None:
    result = run_in_project("serve", "demo", "--server", "never", project=server.project)

    assert result.code == 1
    assert "serve start" in result.document["error"]
