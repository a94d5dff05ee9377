"""The review page: its server, and a person at the keyboard of a real browser."""

import hashlib
import http.client
import io
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageOps
from selenium.webdriver import ActionChains, Chrome, Keys
from sqlalchemy import func, insert, select, update

from harvest.catalogue.session import open_catalogue
from harvest.catalogue.tables import Exif, Image, Inspection, Label, Region
from harvest.store import PhotoStore
from labels.apply import apply
from labels.review.actions import Session
from labels.review.boxes import Box, Size, to_seen, to_stored
from labels.review.queue import chosen_queue
from labels.review.server import ReviewServer
from labels.targets.library import find
from lightmeter.cli import main
from lightmeter.project import find as find_project
from tests.browser import complaints, until
from tests.support import Lightmeter

COUNT = 24


def press(browser: Chrome, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


@contextmanager
def running(server: ReviewServer) -> Iterator[ReviewServer]:
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def serving(catalogue: Any, name: str = "medium") -> Iterator[ReviewServer]:
    target = find(name)
    with catalogue.engine.connect() as connection:
        queue = chosen_queue(connection, catalogue.project, target.name)
    with running(ReviewServer(catalogue.project, queue, Session(catalogue.engine, target, "ann"))) as server:
        yield server


@pytest.fixture
def server(catalogue: Any) -> Iterator[ReviewServer]:
    """A review page over a few drawn photographs; the first lies on its side (Orientation 6)."""
    store = PhotoStore(catalogue.project.store, catalogue.project.state / "aside")
    for index in range(COUNT):
        image = catalogue.photograph(medium="digital", orientation=6 if index == 0 else 1, iso=100.0 * (index + 1))
        out = io.BytesIO()
        picture = Picture.linear_gradient("L").resize((640, 480)).convert("RGB")
        picture.paste((index * 10, 120, 255 - index * 10), (64, 48, 64 + index * 20, 400))
        exif = Picture.Exif()
        exif[0x0112] = 6 if index == 0 else 1
        picture.save(out, "JPEG", exif=exif)
        sha256 = hashlib.sha256(out.getvalue()).hexdigest()
        store.put(sha256, out.getvalue())
        with catalogue.engine.begin() as connection:
            connection.execute(update(Image).where(Image.id == image).values(sha256=sha256))
    apply(catalogue.engine, [find("medium")])
    with serving(catalogue) as running:
        yield running


def ask(
    server: ReviewServer, path: str, *, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    known = {"Cookie": f"lightmeter-review={server.token}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, content, {**known, **(headers or {})})
    answer = connection.getresponse()
    result = answer.status, answer.read(), answer.headers
    connection.close()
    return result


def test_the_page_is_for_this_machine_with_the_token_and_its_own_address_only(server: ReviewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/")[0] == 200
    assert ask(server, "/", headers={"Cookie": ""})[0] == 403
    assert ask(server, "/api/queue", headers={"Cookie": "lightmeter-review=guess"})[0] == 403
    assert ask(server, "/", headers={"Host": "evil.example"})[0] == 403
    assert ask(server, f"/?token={server.token}", headers={"Host": f"evil.example:{server.server_port}"})[0] == 403
    status, _, headers = ask(server, f"/?token={server.token}", headers={"Cookie": ""})
    assert status == 303
    assert "HttpOnly" in str(headers["Set-Cookie"])
    assert "default-src 'self'" in str(ask(server, "/")[2]["Content-Security-Policy"])


def test_wrong_requests_are_refused_and_write_nothing(catalogue: Any, server: ReviewServer) -> None:
    label = {"image": 1, "value": "film"}
    assert ask(server, "/api/label", body=label, headers={"Content-Type": "text/plain"})[0] == 415
    assert ask(server, "/api/label", body={"image": 1, "value": "fim"})[0] == 400
    assert ask(server, "/api/label", body={"image": 10**6, "value": "film"})[0] == 400
    assert ask(server, "/api/label", body={"value": "film"})[0] == 400
    assert ask(server, "/api/label", body={"image": 1, "value": "x" * 20_000})[0] == 413
    box = {"image": 1, "kind": "face", "x": 600, "y": 0, "width": 100, "height": 10}
    assert ask(server, "/api/box", body=box)[0] == 400
    assert ask(server, "/api/nothing", body={})[0] == 404
    assert ask(server, "/photo/" + "0" * 64)[0] == 404
    assert ask(server, "/../app.js")[0] == 404
    assert catalogue.rows(select(func.count()).where(Label.origin == "hand")) == [(0,)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_the_picture(orientation: int) -> None:
    stored = Size(40, 30)
    box = Box(3, 5, 10, 7)
    pixels = np.zeros((30, 40), dtype=np.uint8)
    pixels[box.y : box.y + box.height, box.x : box.x + box.width] = 255
    picture = Picture.fromarray(pixels)
    picture.getexif()[0x0112] = orientation
    seen = to_seen(box, stored, orientation)
    rows, columns = np.nonzero(np.asarray(ImageOps.exif_transpose(picture)))
    assert seen == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert to_stored(seen, stored, orientation) == box


def test_queues_follow_a_query_the_judged_and_a_sample(catalogue: Any, server: ReviewServer) -> None:
    def ids(**options: Any) -> list[int]:
        with catalogue.engine.connect() as connection:
            queue = chosen_queue(connection, catalogue.project, "medium", **options)
            first = queue.page(connection, 0, 5)
            return [row["id"] for row in first + queue.page(connection, first[-1]["id"], 100)]

    assert len(ids()) == COUNT
    assert ids(where="iso <= 300") == [1, 2, 3]
    server.session.label(2, "film")
    assert ids(kind="unjudged", where="iso <= 300") == [1, 3]
    sample = ids(sample=7, seed=3)
    assert len(sample) == 7
    assert sample == ids(sample=7, seed=3) != ids(sample=7, seed=4)


def test_where_file_and_source_disagree(catalogue: Any, server: ReviewServer) -> None:
    other = catalogue.photograph(iso=100.0, api={"iso": 400.0})
    catalogue.photograph(f_number=2.8, api={"f_number": 2.81})
    with catalogue.engine.connect() as connection:
        queue = chosen_queue(connection, catalogue.project, "medium", kind="disagreements")
        assert [row["id"] for row in queue.page(connection, 0, 9)] == [other]


def test_photographs_in_which_no_face_was_found_wait_until_somebody_draws_one(
    catalogue: Any, server: ReviewServer
) -> None:
    looked = [{"image_id": image, "filter": "faces", "version": 1, "verdict": "keep"} for image in (1, 2, 3, 4)]
    box = {"kind": "face", "origin": "faces", "x": 0, "y": 0, "width": 60, "height": 60}
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Inspection), looked)
        connection.execute(insert(Region), {**box, "image_id": 1, "score": 0.95})
        connection.execute(insert(Region), {**box, "image_id": 2, "score": 0.61})  # hardly a face

    def ids() -> list[int]:
        with catalogue.engine.connect() as connection:
            queue = chosen_queue(connection, catalogue.project, "medium", kind="no-face")
            return [row["id"] for row in queue.page(connection, 0, 9)]

    assert ids() == [2, 3, 4]
    server.session.box(3, "face", Box(10, 10, 50, 50))
    assert ids() == [2, 4]


def test_a_page_of_a_hundred_thousand_comes_at_once(catalogue: Any) -> None:
    rows = [{"sha256": f"{n:064x}", "format": "JPEG", "width": 1, "height": 1, "file_size": 1} for n in range(100_000)]
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Image), rows)
        connection.execute(insert(Exif), [{"image_id": n, "origin": "file", "raw": {}} for n in range(1, 100_001, 50)])
    times = []
    with serving(catalogue) as server:
        for after in (0, 50_000, 99_000, 0, 50_000):
            start = time.perf_counter()
            assert len(json.loads(ask(server, f"/api/queue?after={after}&limit=48")[1])["photographs"]) == 48
            times.append(time.perf_counter() - start)
    assert sorted(times)[len(times) // 2] < 0.2


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
    assert np.allclose(to_seen(Box(*box[1:5]), Size(640, 480), 6), (48, 64, 96, 128), atol=4)
    press(browser, "z")
    until(lambda: picture.size["width"] == 480)
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
    folder = Path(os.environ.get("LIGHTMETER_SCREENSHOTS", tmp_path))
    lightmeter("harvest", "run", "simulator", "--count", "18", "--film-share", "0.5", "--size", "480x360")
    assert main(["labels", "apply", "medium"]) == 0
    found = find_project()
    engine = open_catalogue(found)

    def page(where: str) -> ReviewServer:
        with engine.connect() as connection:
            queue = chosen_queue(connection, found, "medium", where=where)
        return ReviewServer(found, queue, Session(engine, find("medium"), "ann"))

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
        drag = ActionChains(browser).move_to_element_with_offset(picture, 44, -166).click_and_hold()
        drag.move_by_offset(46, 64).release().perform()  # round the head in which no face was found
        until(lambda: len(browser.find_elements("css selector", ".box.face")) == 2)
        browser.save_screenshot(str(folder / "review-single.png"))
    engine.dispose()
    assert all((folder / f"review-{name}.png").stat().st_size > 20_000 for name in ("sheet", "single"))
