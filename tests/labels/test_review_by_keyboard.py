"""A person at the keyboard of a real browser, on the review page."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from selenium.webdriver import ActionChains, Chrome, Keys
from sqlalchemy import func, select

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import Label, Region
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.labels.review.boxes import Box, Size, to_display
from lightmeter.labels.review.queues import build_queue
from lightmeter.labels.review.server import ReviewServer
from lightmeter.labels.targets.registry import get_target
from lightmeter.project import find_project
from tests.browser import complaints, until
from tests.labels.reviewing import COUNT, running, serving, session
from tests.support import Lightmeter


def press(browser: Chrome, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def test_a_person_labels_twenty_undoes_one_and_draws_a_box(catalogue: Any, server: ReviewServer, browser: Any) -> None:
    def by_hand() -> list[tuple[Any, ...]]:
        query = select(Label.image_id, Label.value, Label.author).where(Label.origin == "hand").order_by(Label.id)
        return [tuple(row) for row in catalogue.rows(query)]

    browser.get(server.url)
    assert server.token not in browser.current_url
    until(lambda: len(browser.find_elements("css selector", "figure")) == COUNT)
    press(browser, *(["2"] * 20))
    until(lambda: len(by_hand()) == 20)
    assert by_hand() == [(image, "film", "ann") for image in range(1, 21)]
    until(lambda: len(browser.find_elements("css selector", "figure.hand")) == 20)
    press(browser, "u")
    until(lambda: len(by_hand()) == 21)
    assert by_hand()[-1] == (20, None, "ann")
    press(browser, *([Keys.ARROW_LEFT] * 20), Keys.ENTER)
    picture = browser.find_element("id", "picture")
    until(lambda: picture.size["width"] > 100 and "480 × 640" in browser.find_element("id", "exif").text)
    factor = picture.size["width"] / 480
    corner = (-picture.size["width"] / 2 + 48 * factor, -picture.size["height"] / 2 + 64 * factor)
    drag = ActionChains(browser).move_to_element_with_offset(picture, round(corner[0]), round(corner[1]))
    drag.click_and_hold().move_by_offset(round(96 * factor), round(128 * factor)).release().perform()
    until(lambda: catalogue.rows(select(func.count()).select_from(Region)) == [(1,)])
    box = catalogue.rows(select(Region.kind, Region.x, Region.y, Region.width, Region.height, Region.orientation))[0]
    assert (box.kind, box.orientation) == ("inside", 6)
    assert np.allclose(to_display(Box(*box[1:5]), Size(640, 480), 6), (48, 64, 96, 128), atol=4)
    press(browser, "z")
    until(lambda: picture.size["width"] == 480)
    assert complaints(browser) == []


def test_a_box_is_corrected_by_its_corner_and_removed_below_the_pointer(
    catalogue: Any, server: ReviewServer, browser: Any
) -> None:
    def boxes() -> list[tuple[int, ...]]:
        query = select(Region.x, Region.y, Region.width, Region.height).where(Region.origin == "manual")
        return [tuple(row) for row in catalogue.rows(query)]

    server.session.box(2, "face", Box(100, 100, 200, 100))
    browser.get(server.url)
    until(lambda: len(browser.find_elements("css selector", "figure")) == COUNT)
    press(browser, Keys.ARROW_RIGHT, Keys.ENTER)
    picture = browser.find_element("id", "picture")
    until(lambda: len(browser.find_elements("css selector", ".box.face")) == 1 and picture.size["width"] > 100)
    factor = picture.size["width"] / 640

    def at(x: int, y: int) -> ActionChains:
        return ActionChains(browser).move_to_element_with_offset(
            picture, round((x - 320) * factor), round((y - 240) * factor)
        )

    at(300, 200).click_and_hold().move_by_offset(round(100 * factor), round(50 * factor)).release().perform()
    until(lambda: boxes() != [(100, 100, 200, 100)])
    (corrected,) = boxes()
    assert np.allclose(corrected, (100, 100, 300, 150), atol=4)
    at(200, 150).perform()
    until(lambda: len(browser.find_elements("css selector", ".box.below")) == 1)
    press(browser, "x")
    until(lambda: boxes() == [(0, 0, 0, 0)])
    until(lambda: not browser.find_elements("css selector", ".box"))
    press(browser, "u")
    until(lambda: boxes() == [corrected])
    assert complaints(browser) == []


def test_where_several_classes_go_together_keys_add_and_take_away(
    catalogue: Any, server: ReviewServer, browser: Any
) -> None:
    assert main(["labels", "set", "1.jpg", "2.jpg", "concept=street|night", "--author", "eve"]) == 0
    assert main(["labels", "set", "3.jpg", "concept=street", "--author", "eve"]) == 0

    def newest() -> str | None:
        query = select(Label.value).where(Label.image_id == 1, Label.author == "ann").order_by(Label.id.desc()).limit(1)
        found = catalogue.rows(query)
        return found[0][0] if found else None

    with serving(catalogue, "concept") as page:
        browser.get(page.url)
        until(lambda: "1 street" in browser.find_element("id", "classes").text)  # the commonest comes first
        press(browser, "1")
        until(lambda: newest() == "night")
        press(browser, "1")
        until(lambda: newest() == "night|street")
        assert "1 of 24" in browser.find_element("id", "state").text  # it waits for more keys


def test_pictures_for_the_docs(project: Path, lightmeter: Lightmeter, browser: Any, tmp_path: Path) -> None:
    """Take the pictures that docs/labels.md shows; with LIGHTMETER_SCREENSHOTS they go into that folder."""
    folder = Path(__file__).parents[2] / os.environ.get("LIGHTMETER_SCREENSHOTS", tmp_path)
    lightmeter("harvest", "run", "simulator", "--count", "18", "--film-share", "0.5", "--size", "480x360")
    assert main(["labels", "apply", "medium"]) == 0
    found = find_project()
    engine = open_engine(found)

    def page(where: str) -> ReviewServer:
        with engine.connect() as connection:
            queue = build_queue(connection, found, "medium", where=where)
        return ReviewServer(found, queue, session(found, engine, get_target("medium")))

    with running(page("")) as server:
        browser.get(server.url)
        until(lambda: len(browser.find_elements("css selector", "figure")) == 18)
        press(browser, "2", "2", "1")
        until(lambda: len(browser.find_elements("css selector", "figure.hand")) == 3)
        until(lambda: browser.execute_script("return [...document.images].every((one) => one.complete)"))
        browser.save_screenshot(str(folder / "review-sheet.png"))
    with running(page("file = simulated-0-000002.jpg")) as server:
        browser.get(server.url)
        until(lambda: len(browser.find_elements("css selector", "figure")) == 1)
        press(browser, Keys.ENTER, "b")
        picture = browser.find_element("id", "picture")
        until(lambda: picture.size["width"] > 100 and "480 × 360" in browser.find_element("id", "exif").text)
        for number, corner in enumerate(((-18, -160), (44, -166)), start=1):  # round two faces that were missed
            drag = ActionChains(browser).move_to_element_with_offset(picture, *corner).click_and_hold()
            drag.move_by_offset(46, 64).release().perform()
            until(lambda drawn=number: len(browser.find_elements("css selector", ".box.face")) == drawn)
        browser.save_screenshot(str(folder / "review-single.png"))
    engine.dispose()
    assert all((folder / f"review-{name}.png").stat().st_size > 20_000 for name in ("sheet", "single"))
