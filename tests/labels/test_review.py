"""The review page's server: who may ask, what it answers, what it writes, and how fast."""

import hashlib
import http.client
import io
import json
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageOps
from sqlalchemy import Engine, func, insert, select

from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, Inspection, Label, Region, Sighting
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.harvest.store import PhotoStore
from lightmeter.labels.annotations.suspects import write_suspects
from lightmeter.labels.review.boxes import Box, Size, to_display, to_file
from lightmeter.labels.review.queues import build_queue
from lightmeter.labels.review.server import ReviewServer
from lightmeter.labels.targets.registry import get_target
from lightmeter.project import Project
from tests.labels.reviewing import COUNT, running, session
from tests.support import create_project


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
    assert ask(server, "/api/unbox", body={"image": 1, "kind": "face", "box": 7})[0] == 400
    for value in (7, ["film"], {}):
        assert ask(server, "/api/label", body={"image": 1, "value": value})[0] == 400
    for path in ("/api/queue?after=-1", "/api/queue?limit=-1", "/api/queue?after=x", f"/api/photograph?image={2**63}"):
        assert ask(server, path)[0] == 400
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
    seen = to_display(box, stored, orientation)
    rows, columns = np.nonzero(np.asarray(ImageOps.exif_transpose(picture)))
    assert seen == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert to_file(seen, stored, orientation) == box


def test_queues_follow_a_query_the_judged_and_a_sample(catalogue: Any, server: ReviewServer) -> None:
    def ids(**options: Any) -> list[int]:
        with catalogue.engine.connect() as connection:
            queue = build_queue(connection, catalogue.project, "medium", **options)
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
        queue = build_queue(connection, catalogue.project, "medium", kind="disagreements")
        assert [row["id"] for row in queue.page(connection, 0, 9)] == [other]
    exif = json.loads(ask(server, f"/api/photograph?image={other}")[1])["exif"]
    assert exif == {"iso": 100.0, "iso (api)": 400.0}


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
            queue = build_queue(connection, catalogue.project, "medium", kind="no-face")
            return [row["id"] for row in queue.page(connection, 0, 9)]

    assert ids() == [2, 3, 4]
    server.session.box(3, "face", Box(10, 10, 50, 50))
    assert ids() == [2, 4]


def test_what_a_browser_may_not_turn_comes_upright(catalogue: Any, server: ReviewServer) -> None:
    picture = Picture.new("RGB", (40, 30))
    picture.paste((255, 0, 0), (0, 0, 5, 5))
    exif = Picture.Exif()
    exif[0x0112] = 6
    store = PhotoStore(catalogue.project.store, catalogue.project.state / "aside")
    for form in ("TIFF", "PNG"):
        out = io.BytesIO()
        picture.save(out, form, exif=exif)
        sha256 = hashlib.sha256(out.getvalue()).hexdigest()
        store.put(sha256, out.getvalue())
        status, data, headers = ask(server, f"/photo/{sha256}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        with Picture.open(io.BytesIO(data)) as shown:
            assert shown.size == (30, 40)
            assert shown.getpixel((29, 0)) == (255, 0, 0)


def test_a_refused_request_leaves_nothing_behind_for_the_next(server: ReviewServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("POST", "/api/label", "GET /app.js HTTP/1.1\r\n\r\n", {"Content-Type": "text/plain"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (403, "close")
    connection.close()


@pytest.fixture
def boxes_of(catalogue: Any, server: ReviewServer) -> Callable[[str], set[tuple[int, ...]]]:
    """The boxes of a kind that count in the second photograph, as the page shows them."""

    def found(kind: str) -> set[tuple[int, ...]]:
        boxes = json.loads(ask(server, "/api/photograph?image=2")[1])["boxes"]
        return {tuple(box[name] for name in Box._fields) for box in boxes if box["kind"] == kind}

    faces = [
        {"image_id": 2, "kind": "face", "origin": "faces", "x": x, "y": 0, "width": 60, "height": 60, "score": 0.95}
        for x in (0, 300)
    ]
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Region), faces)
    return found


def test_faces_are_added_corrected_and_removed_beside_those_that_were_found(
    server: ReviewServer, boxes_of: Callable[[str], set[tuple[int, ...]]]
) -> None:
    def act(path: str, **asked: Any) -> None:
        assert ask(server, path, body={"image": 2, "kind": "face", **asked})[0] == 200

    def number_of(x: int) -> int:
        boxes = json.loads(ask(server, "/api/photograph?image=2")[1])["boxes"]
        return next(box["id"] for box in boxes if box["x"] == x)

    left, right, missed, better = (0, 0, 60, 60), (300, 0, 60, 60), (100, 10, 50, 50), (290, 5, 80, 90)
    act("/api/box", **dict(zip(Box._fields, missed, strict=True)))
    assert boxes_of("face") == {left, right, missed}
    act("/api/box", **dict(zip(Box._fields, better, strict=True)), instead_of=number_of(300))
    assert boxes_of("face") == {left, better, missed}
    act("/api/unbox", box=number_of(0))
    act("/api/unbox", box=number_of(100))
    act("/api/unbox", box=number_of(290))
    assert boxes_of("face") == set()
    for before in ({better}, {better, missed}, {left, better, missed}, {left, right, missed}, {left, right}):
        act("/api/undo")
        assert boxes_of("face") == before


def test_a_photograph_has_one_inside(server: ReviewServer, boxes_of: Callable[[str], set[tuple[int, ...]]]) -> None:
    for box in (Box(5, 5, 600, 400), Box(20, 20, 500, 300)):
        server.session.box(2, "inside", box)
        assert boxes_of("inside") == {box}
    assert boxes_of("face") == {(0, 0, 60, 60), (300, 0, 60, 60)}


KINDS_OF_QUEUE = ("all", "unjudged", "no-face", "disagreements", "suspects")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Engine]]:
    """A hundred thousand photographs; the last few thousand are those that wait in each queue."""
    project = create_project(tmp_path_factory.mktemp("many"))
    engine = open_engine(project)
    numbers, rare = range(1, 100_001), range(97_001, 100_001)
    image = {"format": "JPEG", "width": 640, "height": 480, "file_size": 1}
    looked = {"filter": "faces", "version": 1, "verdict": "keep"}
    face = {"kind": "face", "origin": "faces", "x": 0, "y": 0, "width": 60, "height": 60, "score": 0.95}
    judged = {"target": "medium", "value": "film", "origin": "hand", "author": "ann"}
    seen = {"run_id": 1, "source": "made up", "state": "fetched"}
    with engine.begin() as connection:
        connection.execute(insert(HarvestRun).values(id=1, source="made up", query={}, options={}))
        connection.execute(insert(Image), [{**image, "id": n, "sha256": f"{n:064x}"} for n in numbers])
        connection.execute(insert(Inspection), [{**looked, "image_id": n} for n in numbers])
        connection.execute(insert(Region), [{**face, "image_id": n} for n in numbers if n not in rare])
        connection.execute(insert(Label), [{**judged, "image_id": n} for n in numbers if n not in rare])
        connection.execute(insert(Sighting), [{**seen, "id": n, "source_id": str(n), "image_id": n} for n in numbers])
        exif = [{"image_id": n, "sighting_id": None, "origin": "file", "iso": 100.0} for n in numbers]
        exif += [
            {"image_id": None, "sighting_id": n, "origin": "api", "iso": 800.0 if n in rare else 100.0} for n in numbers
        ]
        connection.execute(insert(Exif), exif)
    write_suspects(project, "medium", [{"image_id": n} for n in rare])
    yield project, engine
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS_OF_QUEUE)
def test_a_page_of_a_hundred_thousand_comes_at_once(many: tuple[Project, Engine], kind: str) -> None:
    project, engine = many
    target = get_target("medium")
    with engine.connect() as connection:
        queue = build_queue(connection, project, target.name, kind=kind)
    times = []
    with running(ReviewServer(project, queue, session(project, engine, target))) as server:
        for after in (0, 50_000, 99_000, 0, 50_000):
            start = time.perf_counter()
            assert len(json.loads(ask(server, f"/api/queue?after={after}&limit=48")[1])["photographs"]) == 48
            times.append(time.perf_counter() - start)
    assert median(times) < 0.2
