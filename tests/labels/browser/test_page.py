"""The browser's page in a real web browser."""

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import numpy as np
from selenium.webdriver import ActionChains, Chrome, Keys
from sqlalchemy import func, select

from lightmeter.harvest.catalogue.models import Label, Region
from lightmeter.images.geometry import Box, Size, to_display
from lightmeter.labels.browser.server import BrowserServer
from tests.browser import console_errors
from tests.labels.browser.helpers import PHOTOGRAPHS, create_session
from tests.support import run_text, wait_until


def actions(browser: Chrome) -> ActionChains:
    """Return actions whose pointer does not take a quarter of a second for each move."""
    return ActionChains(browser, duration=20)


def press(browser: Chrome, *keys: str) -> None:
    actions(browser).send_keys(*keys).perform()


def count(browser: Chrome, selector: str) -> int:
    return len(browser.find_elements("css selector", selector))


def open_page(
    browser: Chrome, server: BrowserServer, photographs: int, target: str = "medium", **state: object
) -> None:
    browser.get(server.page_url({"target": target, "sort": "found", **state}))
    console_errors(browser)  # those of earlier pages, whose servers have ended
    wait_until(lambda: count(browser, "figure") == photographs)


def test_labelling_undo_and_box_drawing(catalogue: Any, server: BrowserServer, browser: Any) -> None:
    def manual_labels() -> list[tuple[Any, ...]]:
        query = select(Label.image_id, Label.value, Label.author).where(Label.origin == "manual").order_by(Label.id)
        return [tuple(row) for row in catalogue.rows(query)]

    open_page(browser, server, PHOTOGRAPHS)
    assert server.token not in browser.current_url
    press(browser, *(["2"] * 20))
    wait_until(lambda: len(manual_labels()) == 20)
    assert manual_labels() == [(image, "film", "ann") for image in range(1, 21)]
    wait_until(lambda: count(browser, "figure.manual") == 20)
    press(browser, "u")
    wait_until(lambda: len(manual_labels()) == 21)
    assert manual_labels()[-1] == (20, None, "ann")
    press(browser, *([Keys.ARROW_LEFT] * 20), Keys.ENTER)
    image = browser.find_element("id", "image")
    wait_until(lambda: image.size["width"] > 100 and "480 × 640" in browser.find_element("id", "details").text)
    factor = image.size["width"] / 480
    corner = (-image.size["width"] / 2 + 48 * factor, -image.size["height"] / 2 + 64 * factor)
    drag = actions(browser).move_to_element_with_offset(image, round(corner[0]), round(corner[1]))
    drag.click_and_hold().move_by_offset(round(96 * factor), round(128 * factor)).release().perform()
    wait_until(lambda: catalogue.rows(select(func.count()).select_from(Region)) == [(1,)])
    box = catalogue.rows(select(Region.kind, Region.x, Region.y, Region.width, Region.height, Region.orientation))[0]
    assert (box.kind, box.orientation) == ("inside", 6)
    assert np.allclose(to_display(Box(*box[1:5]), Size(640, 480), 6), (48, 64, 96, 128), atol=4)
    press(browser, "z")
    wait_until(lambda: image.size["width"] == 480)
    assert console_errors(browser) == []


def test_box_is_resized_by_corner_and_removed_under_pointer(
    catalogue: Any, server: BrowserServer, browser: Any
) -> None:
    def boxes() -> list[tuple[int, ...]]:
        query = select(Region.x, Region.y, Region.width, Region.height).where(Region.origin == "manual")
        return [tuple(row) for row in catalogue.rows(query)]

    create_session(catalogue.project, catalogue.engine).add_box(2, "face", Box(100, 100, 200, 100))
    open_page(browser, server, PHOTOGRAPHS)
    press(browser, Keys.ARROW_RIGHT, Keys.ENTER)
    image = browser.find_element("id", "image")
    wait_until(lambda: count(browser, ".box.face") == 1 and image.size["width"] > 100)
    factor = image.size["width"] / 640

    def pointer_at(x: int, y: int) -> ActionChains:
        return actions(browser).move_to_element_with_offset(image, round((x - 320) * factor), round((y - 240) * factor))

    drag = pointer_at(300, 200).click_and_hold().move_by_offset(round(100 * factor), round(50 * factor))
    drag.release().perform()
    wait_until(lambda: boxes() != [(100, 100, 200, 100)])
    (resized,) = boxes()
    assert np.allclose(resized, (100, 100, 300, 150), atol=4)
    pointer_at(200, 150).perform()
    wait_until(lambda: count(browser, ".box.hovered") == 1)
    press(browser, "x")
    wait_until(lambda: boxes() == [(0, 0, 0, 0)])
    wait_until(lambda: not count(browser, ".box"))
    press(browser, "u")
    wait_until(lambda: boxes() == [resized])
    press(browser, "u")
    wait_until(lambda: boxes() == [(100, 100, 200, 100)])
    press(browser, "u")
    wait_until(lambda: "Nothing to undo." in browser.find_element("id", "message").text)
    assert console_errors(browser) == []


def test_keys_toggle_classes_of_multilabel_target(catalogue: Any, server: BrowserServer, browser: Any) -> None:
    run_text("labels", "set", "1.jpg", "2.jpg", "concept=street|night", "--author", "eve")
    run_text("labels", "set", "3.jpg", "concept=street", "--author", "eve")

    def newest() -> str | None:
        query = select(Label.value).where(Label.image_id == 1, Label.author == "ann").order_by(Label.id.desc()).limit(1)
        rows = catalogue.rows(query)
        return rows[0][0] if rows else None

    open_page(browser, server, PHOTOGRAPHS, "concept")
    assert browser.find_element("id", "classes").text.startswith("1 street")  # the most frequent class
    press(browser, "1")
    wait_until(lambda: newest() == "night")
    press(browser, "1")
    wait_until(lambda: newest() == "night|street")
    assert "1 of 24" in browser.find_element("id", "position").text  # stays at the photograph


def test_narrow_page_does_not_scroll_sideways(server: BrowserServer, browser: Any) -> None:
    size = browser.get_window_size()
    open_page(browser, server, PHOTOGRAPHS)
    browser.set_window_size(400, 800)
    try:
        for key in (Keys.ENTER, "z", "z", Keys.ESCAPE):
            press(browser, key)
            wait_until(lambda: browser.execute_script("return document.body.scrollWidth <= window.innerWidth"))
        open_page(browser, server, 0, iso="", photo=1)
        wait_until(lambda: text_of(browser, "grid") == "No photograph matches.")
        assert text_of(browser, "message") == "Photograph 1 is not in this view."
        press(browser, *"1 nuUz", Keys.ENTER, Keys.END)
        wait_until(lambda: text_of(browser, "message") == "Nothing to redo.")
        assert console_errors(browser) == []
    finally:
        browser.set_window_size(size["width"], size["height"])


def test_keys_label_only_what_they_mean(catalogue: Any, server: BrowserServer, browser: Any) -> None:
    def labels() -> list[Any]:
        return [row.value for row in catalogue.rows(select(Label.value).where(Label.origin == "manual"))]

    def dispatch(**event: object) -> None:
        script = "document.dispatchEvent(new KeyboardEvent('keydown', arguments[0]))"
        browser.execute_script(script, {"bubbles": True, **event})

    open_page(browser, server, PHOTOGRAPHS)
    dispatch(key="")
    dispatch(key="1", repeat=True)
    dispatch(key="ArrowRight", repeat=True)
    dispatch(key="+", code="Digit2")  # where digits need Shift, as on French and Czech keyboards
    wait_until(lambda: labels() == ["film"])
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(f"{server.url}/?target=medium&sort=found")
    wait_until(lambda: count(browser, "figure.manual") == 1)
    dispatch(key="ArrowRight")
    dispatch(key="0")
    wait_until(lambda: labels() == ["film", None])
    browser.switch_to.window(first)
    dispatch(key="ArrowLeft")
    dispatch(key="1")
    wait_until(lambda: "changed elsewhere" in browser.find_element("id", "message").text)
    assert labels() == ["film", None]
    dispatch(key="г", code="KeyU")  # on a Russian keyboard
    wait_until(lambda: labels() == ["film", None, "film"])
    wait_until(lambda: "undone: film" in browser.find_element("id", "message").text)


def text_of(browser: Chrome, element: str) -> str:
    return str(browser.find_element("id", element).text)


def test_selection_is_labelled_undone_and_redone_with_one_key(
    catalogue: Any, server: BrowserServer, browser: Any
) -> None:
    def film() -> set[int]:
        newest: dict[int, Any] = dict(
            tuple(row) for row in catalogue.rows(select(Label.image_id, Label.value).order_by(Label.id))
        )
        return {image for image, value in newest.items() if value == "film"}

    def card(position: int) -> Any:
        return browser.find_element("css selector", f"figure[data-position='{position}']")

    open_page(browser, server, PHOTOGRAPHS)
    assert text_of(browser, "labelled") == "0 of 24 labelled"
    card(1).click()
    actions(browser).key_down(Keys.SHIFT).click(card(4)).key_up(Keys.SHIFT).perform()
    actions(browser).key_down(Keys.CONTROL).click(card(8)).click(card(2)).key_up(Keys.CONTROL).perform()
    wait_until(lambda: text_of(browser, "position") == "3 of 24 · 4 selected")
    press(browser, "2")
    wait_until(lambda: film() == {2, 4, 5, 9})
    wait_until(lambda: text_of(browser, "labelled") == "4 of 24 labelled")
    assert text_of(browser, "message") == "4 photographs: film."
    press(browser, "u")
    wait_until(lambda: not film())
    press(browser, "U")
    wait_until(lambda: film() == {2, 4, 5, 9})
    first, last = card(0).rect, card(9).rect
    drag = actions(browser).move_to_element_with_offset(card(0), 0, 0).click_and_hold()
    drag.move_by_offset(round(last["x"] - first["x"]), round(last["y"] - first["y"])).release().perform()
    selected = count(browser, "figure.selected")
    assert selected >= 4
    press(browser, Keys.ESCAPE, "n")
    wait_until(lambda: text_of(browser, "position") == "3 of 24")  # the next without a label of a person
    actions(browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).perform()
    press(browser, "2")
    wait_until(lambda: len(film()) == PHOTOGRAPHS)
    press(browser, "n")
    wait_until(lambda: text_of(browser, "message") == "All photographs of this view are labelled.")
    press(browser, "?")
    assert "next unlabelled photograph" in text_of(browser, "help")
    press(browser, Keys.ESCAPE)
    assert console_errors(browser) == []


def test_filters_histograms_groups_and_history_are_in_the_url(
    catalogue: Any, server: BrowserServer, browser: Any
) -> None:
    for owner in ("<b>ann</b>", "<b>ann</b>", "bob"):
        catalogue.photograph(owner=owner, iso=1600.0)
    open_page(browser, server, PHOTOGRAPHS + 3)
    browser.find_element("css selector", "[data-name=photographer] summary").click()
    browser.find_element("css selector", "[data-name=photographer] li button").click()
    wait_until(lambda: count(browser, "figure") == 2)
    assert text_of(browser, "chips") == "Photographer: <b>ann</b> ×"
    assert "photographer=%3Cb%3Eann" in browser.current_url
    browser.find_element("css selector", ".chip").click()
    wait_until(lambda: count(browser, "figure") == PHOTOGRAPHS + 3)
    histogram = browser.find_element("css selector", "[data-name=iso] .histogram")
    start = -histogram.size["width"] // 2 + 2
    drag = actions(browser).move_to_element_with_offset(histogram, start, 0).click_and_hold()
    drag.move_by_offset(round(histogram.size["width"] * 6 / 14), 0).release().perform()  # bins of 100 to 400
    wait_until(lambda: "iso=100-400" in browser.current_url)
    wait_until(lambda: count(browser, "figure") == 4)
    select_option(browser, "group", "f")
    wait_until(lambda: count(browser, "#grid h2") == 1)
    assert browser.find_element("css selector", "#grid h2").text == "unknown 4 photographs"
    browser.back()
    browser.back()
    wait_until(lambda: count(browser, "figure") == PHOTOGRAPHS + 3)
    browser.forward()
    wait_until(lambda: count(browser, "figure") == 4)
    press(browser, "/", "iso:200-300", Keys.ENTER)
    wait_until(lambda: count(browser, "figure") == 2)
    press(browser, Keys.END, Keys.ENTER)
    wait_until(lambda: "photo=3" in browser.current_url)
    shared_url = browser.current_url
    browser.get("about:blank")
    browser.get(shared_url)
    wait_until(lambda: "ISO 300" in text_of(browser, "details"))
    press(browser, Keys.ESCAPE, "/", " and (", Keys.ENTER)
    wait_until(lambda: "Invalid query at column" in text_of(browser, "message"))
    assert [error for error in console_errors(browser) if "/api/view" not in error and "/thumbnail/" not in error] == []


def test_view_of_the_url_is_shown_even_if_an_earlier_one_is_answered_later(
    catalogue: Any, server: BrowserServer, browser: Any
) -> None:
    open_page(browser, server, PHOTOGRAPHS)
    browser.execute_script("""
        const send = window.fetch;
        window.answered = 0;
        window.fetch = async (path, options) => {
            const response = await send(path, options);
            if (path.includes("api/view") && path.includes("group=f")) await new Promise((done) => { setTimeout(done, 300); });
            setTimeout(() => { window.answered += path.includes("api/view"); }, 100);
            return response;
        };
    """)
    select_option(browser, "group", "f")
    browser.back()
    wait_until(lambda: browser.execute_script("return window.answered") == 2)
    assert "group" not in browser.current_url
    assert count(browser, "#grid h2") == 0
    assert browser.find_element("id", "group").get_property("value") == ""


def select_option(browser: Chrome, element: str, value: str) -> None:
    browser.find_element("css selector", f"#{element} option[value='{value}']").click()


@contextmanager
def proxy(server: BrowserServer, prefix: str) -> Iterator[tuple[str, threading.Event]]:
    """A proxy that removes a prefix of the path, and breaks connections while its event is set."""
    broken = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            assert self.path.startswith(prefix)
            if broken.is_set():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            headers = {name: self.headers[name] for name in ("Cookie", "Content-Type") if name in self.headers}
            headers["Host"] = f"127.0.0.1:{self.server.server_address[1]}"
            request = urllib.request.Request(server.url + self.path[len(prefix) :], body, headers)
            opener = urllib.request.OpenerDirector()
            opener.add_handler(urllib.request.HTTPHandler())
            with opener.open(request) as response:
                self.send_response(response.status)
                for name, value in response.headers.items():
                    if name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(response.read())

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}{prefix}", broken
        finally:
            running.shutdown()
            thread.join()


def test_server_behind_a_prefix_that_is_gone_for_a_while_loses_no_key(
    catalogue: Any, server: BrowserServer, browser: Any
) -> None:
    def labels() -> list[Any]:
        return [
            tuple(row) for row in catalogue.rows(select(Label.image_id, Label.value).where(Label.origin == "manual"))
        ]

    with proxy(server, "/user/ann/proxy") as (url, broken):
        browser.get(f"{url}/?target=medium&sort=found&token={server.token}")
        wait_until(lambda: count(browser, "figure") == PHOTOGRAPHS)
        assert unquote(browser.current_url) == f"{url}/?target=medium&sort=found"
        broken.set()
        press(browser, "2")
        wait_until(browser.find_element("id", "banner").is_displayed)
        assert text_of(browser, "banner").startswith("Not saved: 1 change.")
        press(browser, "2", "2", Keys.ARROW_RIGHT)  # blocked
        assert labels() == []
        broken.clear()
        wait_until(lambda: labels() == [(1, "film")])
        wait_until(lambda: not browser.find_element("id", "banner").is_displayed())
        press(browser, "1")
        wait_until(lambda: labels() == [(1, "film"), (2, "digital")])
    console_errors(browser)
