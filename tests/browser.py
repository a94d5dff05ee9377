"""A real browser for tests: headless Chromium, driven through its WebDriver (W3C WebDriver, 2018)."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element reference, section 11 of the standard


class Browser:
    """One window.

    Args:
        session: address of the WebDriver session.
    """

    def __init__(self, session: str) -> None:
        self._session = session
        self._http = httpx.Client(trust_env=False, timeout=60)

    def open(self, address: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._do("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a JavaScript function and return what it returns."""
        return self._do("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """Return the text that a person sees of the first element of a CSS selector."""
        return self._do("GET", f"/element/{self._find(selector)}/text")

    def type(self, selector: str, text: str) -> None:
        """Type into an element; into a file field: a path, which chooses the file."""
        self._do("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        """Click on an element."""
        self._do("POST", f"/element/{self._find(selector)}/click", {})

    def wait(self, script: str, seconds: float = 30) -> Any:
        """Wait until a JavaScript expression is true, and return its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(f"return {script}")):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.05)
        return value

    def complaints(self) -> list[str]:
        """Return the errors on the browser's console since this was asked last."""
        entries = self._do("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def close(self) -> None:
        """Close the window."""
        self._do("DELETE", "")
        self._http.close()

    def _find(self, selector: str) -> str:
        return self._do("POST", "/element", {"using": "css selector", "value": selector})[_ELEMENT]

    def _do(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        answer = self._http.request(method, self._session + path, json=content)
        value = answer.json()["value"]
        if answer.is_error:
            raise AssertionError(f"{value['error']}: {value['message']}")
        return value


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Open a browser whose profile lies in a folder; skip the test where Chromium is not installed."""
    driver = shutil.which("chromedriver")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or binary is None:
        if os.environ.get("LIGHTMETER_TEST_STRICT"):
            pytest.fail("Chromium and its WebDriver (chromium, chromium-driver) are not installed")
        pytest.skip("Chromium and its WebDriver (chromium, chromium-driver) are not installed")
    with subprocess.Popen(
        [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield from _session(f"http://127.0.0.1:{_port(process)}", binary, folder)
        finally:
            process.terminate()


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"started successfully on port (\d+)", line):
            return int(found[1])
    raise AssertionError("chromedriver did not start")


def _session(driver: str, binary: str, folder: Path) -> Iterator[Browser]:
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options = {"binary": binary, "args": [*arguments, f"--user-data-dir={folder}"]}
    wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
    answer = httpx.post(f"{driver}/session", json={"capabilities": wanted}, timeout=60, trust_env=False)
    assert answer.is_success, answer.text
    browser = Browser(f"{driver}/session/{answer.json()['value']['sessionId']}")
    try:
        yield browser
    finally:
        browser.close()
