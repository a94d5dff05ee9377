"""The picture of the demo page in docs/serve.md, with the default model and a photograph that ships."""

import os
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from lightmeter import demo
from lightmeter.project import Project
from tests.browser import emulate, screenshot
from tests.serve.web_demo.test_web_demo import demo_page, select_file
from tests.support import ROOT, CommandRunner, wait_until

PHOTOGRAPH = Path(demo.__file__).parent / "photographs" / "canyon-wren.jpg"
FOLDER = os.environ.get("LIGHTMETER_SCREENSHOTS")


@pytest.mark.server
@pytest.mark.skipif(FOLDER is None, reason="LIGHTMETER_SCREENSHOTS is not set")
def test_documentation_screenshot(project: Path, lightmeter: CommandRunner, browser: Chrome) -> None:
    lightmeter("serve", "archive", "default")
    lightmeter("serve", "start")
    try:
        with demo_page(Project(project), "main") as url, emulate(browser, "light", 880, 1000):
            select_file(browser, url, PHOTOGRAPH)
            wait_until(browser.find_element("id", "results").is_displayed)
            wait_until(browser.find_element("id", "legend").is_displayed)
            screenshot(browser, ROOT / str(FOLDER) / "serve-demo.jpg")
    finally:
        lightmeter("serve", "stop")
