"""The review page in a real browser."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from selenium.webdriver import ActionChains, Chrome, Keys
from sqlalchemy import func, select

from lightmeter.harvest.catalogue.models import Label, Region
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.images.geometry import Box, Size, to_display
from lightmeter.labels.review.server import ReviewServer
from lightmeter.project import find_project
from tests.browser import console_errors
from tests.labels.review.helpers import PHOTOGRAPHS, create_server, create_session
from tests.support import CommandRunner, run_text, wait_until


def press(browser: Chrome, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def count(browser: Chrome, selector: str) -> int:
    return len(browser.find_elements("css selector", selector))


def open_page(browser: Chrome, server: ReviewServer, photographs: int) -> None:
    browser.get(server.page_url)
    wait_until(lambda: count(browser, "figure") == photographs)


def test_labelling_undo_and_box_drawing(catalogue: Any, server: ReviewServer, browser: Any) -> None:
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
    drag = ActionChains(browser).move_to_element_with_offset(image, round(corner[0]), round(corner[1]))
    drag.click_and_hold().move_by_offset(round(96 * factor), round(128 * factor)).release().perform()
    wait_until(lambda: catalogue.rows(select(func.count()).select_from(Region)) == [(1,)])
    box = catalogue.rows(select(Region.kind, Region.x, Region.y, Region.width, Region.height, Region.orientation))[0]
    assert (box.kind, box.orientation) == ("inside", 6)
    assert np.allclose(to_display(Box(*box[1:5]), Size(640, 480), 6), (48, 64, 96, 128), atol=4)
    press(browser, "z")
    wait_until(lambda: image.size["width"] == 480)
    assert console_errors(browser) == []


def test_box_is_resized_by_corner_and_removed_under_pointer(catalogue: Any, server: ReviewServer, browser: Any) -> None:
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
        return ActionChains(browser).move_to_element_with_offset(
            image, round((x - 320) * factor), round((y - 240) * factor)
        )

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
    wait_until(lambda: "Nothing to undo." in browser.find_element("id", "status").text)
    assert console_errors(browser) == []


def test_keys_toggle_classes_of_multilabel_target(catalogue: Any, server: ReviewServer, browser: Any) -> None:
    run_text("labels", "set", "1.jpg", "2.jpg", "concept=street|night", "--author", "eve")
    run_text("labels", "set", "3.jpg", "concept=street", "--author", "eve")

    def newest() -> str | None:
        query = select(Label.value).where(Label.image_id == 1, Label.author == "ann").order_by(Label.id.desc()).limit(1)
        rows = catalogue.rows(query)
        return rows[0][0] if rows else None

    with create_server(catalogue.project, catalogue.engine, "concept") as concept_server:
        open_page(browser, concept_server, PHOTOGRAPHS)
        assert browser.find_element("id", "classes").text.startswith("1 street")  # the most frequent class
        press(browser, "1")
        wait_until(lambda: newest() == "night")
        press(browser, "1")
        wait_until(lambda: newest() == "night|street")
        assert "1 of 24" in browser.find_element("id", "status").text  # stays at the photograph


def test_narrow_page_does_not_scroll_sideways(server: ReviewServer, browser: Any) -> None:
    size = browser.get_window_size()
    browser.set_window_size(400, 800)
    try:
        open_page(browser, server, PHOTOGRAPHS)
        for key in (Keys.ENTER, "z", "z", Keys.ESCAPE):
            press(browser, key)
            wait_until(lambda: browser.execute_script("return document.body.scrollWidth <= window.innerWidth"))
    finally:
        browser.set_window_size(size["width"], size["height"])


def test_documentation_screenshots(project: Path, lightmeter: CommandRunner, browser: Any, tmp_path: Path) -> None:
    """Take the screenshots of docs/labels.md; LIGHTMETER_SCREENSHOTS is the folder to write them to."""
    folder = Path(__file__).parents[3] / os.environ.get("LIGHTMETER_SCREENSHOTS", tmp_path)
    lightmeter("harvest", "run", "simulator", "--count", "18", "--film-share", "0.5", "--size", "480x360")
    run_text("labels", "apply", "medium")
    current = find_project()
    engine = open_engine(current)
    with create_server(current, engine) as server:
        open_page(browser, server, 18)
        press(browser, "2", "2", "1")
        wait_until(lambda: count(browser, "figure.manual") == 3)
        wait_until(lambda: browser.execute_script("return [...document.images].every((image) => image.complete)"))
        browser.save_screenshot(str(folder / "review-grid.png"))
    with create_server(current, engine, where="file = simulated-0-000002.jpg") as server:
        open_page(browser, server, 1)
        press(browser, Keys.ENTER, "b")
        image = browser.find_element("id", "image")
        wait_until(lambda: image.size["width"] > 100 and "480 × 360" in browser.find_element("id", "details").text)
        for faces, corner in enumerate(((-15, -166), (44, -166)), start=1):  # two faces that the filter missed
            drag = ActionChains(browser).move_to_element_with_offset(image, *corner).click_and_hold()
            drag.move_by_offset(46, 64).release().perform()
            wait_until(lambda drawn=faces: count(browser, ".box.face") == drawn)
        browser.save_screenshot(str(folder / "review-single.png"))
    engine.dispose()
    assert all((folder / f"review-{name}.png").stat().st_size > 20_000 for name in ("grid", "single"))


def test_keys_label_only_what_they_mean(catalogue: Any, server: ReviewServer, browser: Any) -> None:
    def labels() -> list[Any]:
        return [row.value for row in catalogue.rows(select(Label.value).where(Label.origin == "manual"))]

    def dispatch(**event: object) -> None:
        script = "document.dispatchEvent(new KeyboardEvent('keydown', arguments[0]))"
        browser.execute_script(script, {"bubbles": True, **event})

    open_page(browser, server, PHOTOGRAPHS)
    dispatch(key="")
    dispatch(key="1", repeat=True)
    dispatch(key="ArrowRight", repeat=True)
    dispatch(key="&", code="Digit2")  # on a French keyboard
    wait_until(lambda: labels() == ["film"])
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(server.url)
    wait_until(lambda: count(browser, "figure.manual") == 1)
    dispatch(key="ArrowRight")
    dispatch(key="0")
    wait_until(lambda: labels() == ["film", None])
    browser.switch_to.window(first)
    dispatch(key="ArrowLeft")
    dispatch(key="1")
    wait_until(lambda: "changed elsewhere" in browser.find_element("id", "status").text)
    assert labels() == ["film", None]
    dispatch(key="г", code="KeyU")  # on a Russian keyboard
    wait_until(lambda: labels() == ["film", None, "film"])
    wait_until(lambda: "undone: film" in browser.find_element("id", "status").text)
