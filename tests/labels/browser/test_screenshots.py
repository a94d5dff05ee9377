"""Screenshots of docs/browse.md, from the photographs that ship with the demo and simulated ones."""

import io
import os
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from selenium.webdriver import ActionChains, Keys

import lightmeter.demo
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.project import find_project
from tests.labels.browser.helpers import create_server
from tests.labels.browser.test_page import count, press, select_option
from tests.support import CommandRunner, run_text, wait_until

PHOTOGRAPHS = Path(lightmeter.demo.__file__).parent / "photographs"


def test_documentation_screenshots(project: Path, lightmeter: CommandRunner, browser: Any, tmp_path: Path) -> None:
    """Take the screenshots; LIGHTMETER_SCREENSHOTS is the folder to write them to."""
    folder = Path(__file__).parents[3] / os.environ.get("LIGHTMETER_SCREENSHOTS", tmp_path)
    lightmeter("harvest", "run", "folder", str(PHOTOGRAPHS), "--medium", "digital")
    lightmeter("harvest", "run", "simulator", "--count", "18", "--film-share", "0.5", "--size", "480x360")
    run_text("labels", "apply", "medium")
    current = find_project()
    engine = open_engine(current)

    def shoot(name: str) -> None:
        wait_until(lambda: browser.execute_script("return [...document.images].every((image) => image.complete)"))
        file = folder / f"browse-{name}.jpg"
        PillowImage.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB").save(file, quality=82)
        assert file.stat().st_size > 20_000

    def emulate(scheme: str, width: int) -> None:
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        metrics = {"width": width, "height": 760, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    with create_server(current, engine) as server:
        try:
            emulate("light", 1280)
            browser.get(server.page_url({"target": "medium"}))
            wait_until(lambda: count(browser, "figure") == 21)
            press(browser, "1", "1", "1")
            wait_until(lambda: count(browser, "figure.manual") == 3)
            select_option(browser, "group", "label")
            wait_until(lambda: count(browser, "#grid h2") > 1)
            press(browser, Keys.HOME)
            shoot("grid")
            browser.get(server.page_url({"q": "wren", "target": "medium"}))
            wait_until(lambda: count(browser, "figure") == 1)
            press(browser, Keys.ENTER, "b")
            image = browser.find_element("id", "image")
            wait_until(lambda: image.size["width"] > 100 and count(browser, "#details tr") > 8)
            side = image.size
            drag = ActionChains(browser).move_to_element_with_offset(image, -side["width"] // 8, -side["height"] // 3)
            drag.click_and_hold().move_by_offset(side["width"] // 4, side["height"] // 3).release().perform()
            wait_until(lambda: count(browser, ".box.face") == 1)
            shoot("single")
            emulate("dark", 1280)
            browser.get(server.page_url({"target": "medium", "sort": "-iso"}))
            wait_until(lambda: count(browser, "figure") == 21)
            ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT * 3).key_up(Keys.SHIFT).perform()
            wait_until(lambda: count(browser, "figure.selected") == 4)
            shoot("dark")
            emulate("dark", 400)
            wait_until(lambda: browser.execute_script("return document.body.scrollWidth <= 400"))
            shoot("narrow")
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    engine.dispose()
