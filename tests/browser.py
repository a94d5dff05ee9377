"""Headless Chromium for tests, driven by Selenium."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.support import wait_until

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,800")


def find_programs() -> tuple[str | None, str | None]:
    """Return the paths of Chromium and its WebDriver, or None for a program that is not installed."""
    return shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")


@contextmanager
def open_browser() -> Iterator[Chrome]:
    """Open a browser with a new profile."""
    binary, driver = find_programs()
    options = ChromeOptions()
    options.binary_location = binary or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ARGUMENTS:
        options.add_argument(argument)
    browser = Chrome(options=options, service=ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def console_errors(browser: Chrome) -> list[str]:
    """Return the errors on the browser's console since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@contextmanager
def emulate(browser: Chrome, scheme: str, width: int, height: int = 760) -> Iterator[None]:
    """Show pages in light or dark colours in a window of a size."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def screenshot(browser: Chrome, file: Path) -> None:
    """Write a JPEG of the visible part of the page, when its pictures are there."""
    visible = "image.getBoundingClientRect().top < innerHeight"
    script = f"return [...document.images].filter((image) => {visible}).every((image) => image.complete)"
    wait_until(lambda: browser.execute_script(script))
    Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB").save(file, quality=82)
    assert file.stat().st_size > 10_000
