"""The review page: its server, and a person at the keyboard of a real browser."""

import hashlib
import http.client
import io
import json
import shutil
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
from sqlalchemy import func, insert, select, update

from harvest.catalogue.tables import Exif, Image, Label, Region
from harvest.store import PhotoStore
from labels.apply import apply
from labels.review.actions import Session
from labels.review.boxes import Box, Size, to_seen, to_stored
from labels.review.queue import chosen_queue
from labels.review.server import ReviewServer
from labels.targets.library import find
from tests.conftest import lacking

COUNT = 24


@contextmanager
def serving(catalogue: Any) -> Iterator[ReviewServer]:
    target = find("medium")
    with catalogue.engine.connect() as connection:
        queue = chosen_queue(connection, catalogue.project, target.name)
    with ReviewServer(catalogue.project, queue, Session(catalogue.engine, target, "ann")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


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


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    selenium = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        lacking("Chromium with its driver")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,800"):
        options.add_argument(option)
    found = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield found
    found.quit()


def until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)


def test_a_person_labels_twenty_undoes_one_and_draws_a_box(
    catalogue: Any, server: ReviewServer, browser: Any, tmp_path: Path
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def by_hand() -> list[tuple[Any, ...]]:
        query = select(Label.image_id, Label.value, Label.author).where(Label.origin == "hand").order_by(Label.id)
        return [tuple(row) for row in catalogue.rows(query)]

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    browser.get(server.url)
    assert server.token not in browser.current_url
    until(lambda: len(browser.find_elements("css selector", "figure")) == COUNT)
    press(*(["2"] * 20))
    until(lambda: len(by_hand()) == 20)
    assert by_hand() == [(image, "film", "ann") for image in range(1, 21)]
    until(lambda: len(browser.find_elements("css selector", "figure.hand")) == 20)
    browser.save_screenshot(str(tmp_path / "review-sheet.png"))
    press("u")
    until(lambda: len(by_hand()) == 21)
    assert by_hand()[-1] == (20, None, "ann")
    press(*([Keys.ARROW_LEFT] * 20), Keys.ENTER)
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
    browser.save_screenshot(str(tmp_path / "review-single.png"))
    press("z")
    until(lambda: picture.size["width"] == 480)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
