"""The pictures of the documents: browser, data set card, contact sheet and statistics, of real photographs.

``LIGHTMETER_PHOTOGRAPHS`` names a folder with CC0 photographs, and ``LIGHTMETER_SCREENSHOTS=docs/images`` writes the pictures
to that folder. Those in the documents are of https://github.com/BuddiesOfBudgie/budgie-backgrounds.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Keys

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.project import find_project
from tests.browser import emulate, screenshot
from tests.labels.browser.helpers import create_server
from tests.labels.browser.test_page import count, open_page, press, select_option
from tests.support import ROOT, CommandRunner, run_text, wait_until

PHOTOGRAPHS = os.environ.get("LIGHTMETER_PHOTOGRAPHS")
HEAD = (-0.13, -0.29, 0.12, 0.17)
"""Left, top, width and height of the wren's head, as shares of the photograph, from its centre."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder for the pictures."""
    return ROOT / os.environ.get("LIGHTMETER_SCREENSHOTS", tmp_path)


@pytest.mark.plots
@pytest.mark.skipif(PHOTOGRAPHS is None, reason="LIGHTMETER_PHOTOGRAPHS names no folder with CC0 photographs")
def test_documentation_screenshots(project: Path, lightmeter: CommandRunner, browser: Any, folder: Path) -> None:
    lightmeter("harvest", "run", "folder", PHOTOGRAPHS, "--medium", "digital", "--assume-licence", "CC0-1.0")
    run_text("harvest", "contact-sheet", "--filter", "quality", "--out", folder / "contact-sheet.jpg")
    run_text("labels", "apply", "focal-length")
    run_text("catalogue", "stats", "--by", "camera,f,shutter,iso,mm", "--html", "stats.html")
    split = ("--ratios", "50/25/25", "--min-per-class", "1")
    run_text("labels", "split", "views", "--target", "focal-length", *split)
    pages = {"stats": Path("stats.html"), "card": Path("datasets/views/card.html")}
    current = find_project()
    engine = open_engine(current)
    with create_server(current, engine) as server:
        for width, scheme, name in ((1280, "light", "grid"), (1280, "dark", "dark"), (400, "dark", "narrow")):
            with emulate(browser, scheme, width):
                browser.get(server.page_url({"target": "focal-length", "sort": "file" if name == "grid" else "-iso"}))
                wait_until(lambda: count(browser, "figure img[alt]:not([alt=''])") >= 3)  # only what is near exists
                if name == "grid":
                    confirm_label(browser)
                    select_option(browser, "group", "label")
                    wait_until(lambda: count(browser, "#grid h2") > 1)
                    press(browser, Keys.HOME)
                else:
                    select(browser, 3)
                screenshot(browser, folder / f"browse-{name}.jpg")
        with emulate(browser, "light", 1280):
            open_page(browser, server, 1, "focal-length", q="wren")
            press(browser, Keys.ENTER, "b")
            draw(browser, HEAD)
            screenshot(browser, folder / "browse-single.jpg")
    engine.dispose()
    for name, page in pages.items():
        for width, scheme, variant in ((1000, "light", ""), (1000, "dark", "-dark"), (400, "light", "-narrow")):
            with emulate(browser, scheme, width, 1000):
                browser.get(page.resolve().as_uri())
                assert browser.execute_script("return document.documentElement.scrollWidth") <= width
                screenshot(browser, folder / f"{name}{variant}.jpg")


def confirm_label(browser: Any) -> None:
    """Label the current photograph with the class that it has."""
    browser.find_element("css selector", "#classes [aria-pressed=true]").click()
    wait_until(lambda: count(browser, "figure.manual") == 1)


def select(browser: Any, number: int) -> None:
    """Select the first photographs with the keyboard."""
    keys = ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT * (number - 1)).key_up(Keys.SHIFT)
    keys.perform()
    wait_until(lambda: count(browser, "figure.selected") == number)


def draw(browser: Any, box: tuple[float, float, float, float]) -> None:
    """Draw a box on the open photograph, given in shares of it from its centre."""
    image = browser.find_element("id", "image")
    wait_until(lambda: image.size["width"] > 100 and count(browser, "#details tr") > 8)
    width, height = image.size["width"], image.size["height"]
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (width, height) * 2, strict=True))
    drag = ActionChains(browser).move_to_element_with_offset(image, left, top)
    drag.click_and_hold().move_by_offset(right, bottom).release().perform()
    wait_until(lambda: count(browser, ".box.face") == 1)
