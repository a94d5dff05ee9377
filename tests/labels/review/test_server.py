"""Server of the review page: access, validation, queues, boxes, images and speed."""

import hashlib
import http.client
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image as PillowImage
from sqlalchemy import Engine, event, func, insert, select

from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, Inspection, Label, Region, SightingRecord
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.harvest.store import PhotoStore
from lightmeter.images.geometry import Box
from lightmeter.labels.annotations.audit import LabelIssue, write_label_issues
from lightmeter.labels.review.queues import build_queue
from lightmeter.labels.review.server import ReviewServer
from lightmeter.labels.review.session import Session
from lightmeter.project import Project
from tests.labels.review.helpers import PHOTOGRAPHS, create_server, create_session
from tests.support import create_project, encode_image, exif_tags

Response = tuple[int, bytes, http.client.HTTPMessage]


def send(server: ReviewServer, path: str, *, message: Any = None, headers: dict[str, str] | None = None) -> Response:
    """Send a request with the token's cookie; return status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    defaults = {"Cookie": f"lightmeter-review-{server.port}={server.token}", "Content-Type": "application/json"}
    body = None if message is None else json.dumps(message)
    connection.request("GET" if body is None else "POST", path, body, {**defaults, **(headers or {})})
    response = connection.getresponse()
    result = response.status, response.read(), response.headers
    connection.close()
    return result


def get_json(server: ReviewServer, path: str) -> Any:
    status, body, _ = send(server, path)
    assert status == 200
    return json.loads(body)


def test_page_needs_token_and_loopback_host(server: ReviewServer) -> None:
    assert send(server, "/")[0] == 200
    for path in ("/", "/review.js", "/api/queue"):
        assert send(server, path, headers={"Cookie": ""})[0] == 403
        assert send(server, path, headers={"Cookie": f"lightmeter-review-{server.port}=guess"})[0] == 403
    assert send(server, "/?token=guess", headers={"Cookie": ""})[0] == 403
    assert send(server, "/", headers={"Host": "evil.example"})[0] == 400
    assert send(server, f"/?token={server.token}", headers={"Host": f"evil.example:{server.port}"})[0] == 400
    status, _, headers = send(server, f"/?token={server.token}", headers={"Cookie": ""})
    assert (status, headers["Location"]) == (303, "/")
    assert "HttpOnly" in str(headers["Set-Cookie"])
    assert "SameSite=strict" in str(headers["Set-Cookie"])


def test_responses_have_security_headers(server: ReviewServer) -> None:
    for path, sent in (("/", {}), ("/api/queue", {}), ("/", {"Cookie": ""})):
        headers = send(server, path, headers=sent)[2]
        assert headers["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"


def test_invalid_requests_are_rejected_and_write_nothing(catalogue: Any, server: ReviewServer) -> None:
    label = {"image": 1, "value": "film", "seen": "digital"}
    assert send(server, "/api/label", message=label, headers={"Content-Type": "text/plain"})[0] == 415
    assert send(server, "/api/label", message={"image": 1, "value": "fim", "seen": "digital"})[0] == 400
    assert send(server, "/api/label", message={"image": 10**6, "value": "film", "seen": "digital"})[0] == 400
    assert send(server, "/api/label", message={"value": "film"})[0] == 400
    assert send(server, "/api/label", message=[])[0] == 400
    assert send(server, "/api/label", message={"image": 1, "value": "x" * 20_000, "seen": "digital"})[0] == 413
    assert send(server, "/api/label")[0] == 405
    box = {"image": 1, "kind": "face", "x": 600, "y": 0, "width": 100, "height": 10}
    assert send(server, "/api/box", message=box)[0] == 400
    assert send(server, "/api/box", message={**box, "x": 0, "kind": "nose"})[0] == 400
    assert send(server, "/api/remove-box", message={"image": 1, "kind": "face", "box": 7})[0] == 400
    for value in (7, ["film"], {}):
        assert send(server, "/api/label", message={"image": 1, "value": value, "seen": "digital"})[0] == 400
    for path in ("/api/queue?after=-1", "/api/queue?limit=-1", "/api/queue?after=x", f"/api/photograph?image={2**63}"):
        status, body, _ = send(server, path)
        assert status == 400
        assert json.loads(body)["error"]["reason"].startswith("Invalid request: ")
    assert send(server, "/api/photograph?image=1000")[0] == 400
    assert send(server, "/api/nothing", message={})[0] == 404
    assert send(server, "/photo/" + "0" * 64)[0] == 404
    assert send(server, "/thumbnail/..%2f..%2fcatalogue")[0] == 404
    assert send(server, "/../review.js")[0] == 404
    assert catalogue.rows(select(func.count()).where(Label.origin == "manual")) == [(0,)]


def test_stale_window_is_refused(catalogue: Any, server: ReviewServer) -> None:
    label = {"image": 1, "value": "film", "seen": "digital"}
    assert send(server, "/api/label", message=label)[0] == 200
    status, body, _ = send(server, "/api/label", message=label)  # another window still shows "digital"
    assert (status, b"changed elsewhere" in body) == (409, True)
    create_session(catalogue.project, catalogue.engine).label(1, "digital", "film")  # another process of this author
    assert send(server, "/api/undo", message={})[0] == 409
    assert catalogue.rows(select(func.count()).where(Label.origin == "manual")) == [(2,)]


def test_removed_labels_are_unjudged_again(catalogue: Any, server: ReviewServer) -> None:
    session = create_session(catalogue.project, catalogue.engine)
    with catalogue.engine.connect() as connection:
        for value, seen, total in (("film", "digital", PHOTOGRAPHS - 1), (None, "film", PHOTOGRAPHS)):
            session.label(1, value, seen)
            assert build_queue(connection, catalogue.project, "medium", kind="unjudged").total == total
            connection.rollback()


def test_queues_are_selected_by_query_kind_and_sample(catalogue: Any, server: ReviewServer) -> None:
    def ids(**options: Any) -> list[int]:
        with catalogue.engine.connect() as connection:
            queue = build_queue(connection, catalogue.project, "medium", **options)
            first = queue.page(connection, 0, 5)
            return [row["id"] for row in first + queue.page(connection, first[-1]["id"], 100)]

    assert len(ids()) == PHOTOGRAPHS
    assert ids(where="iso <= 300") == [1, 2, 3]
    create_session(catalogue.project, catalogue.engine).label(2, "film", "digital")
    assert ids(kind="unjudged", where="iso <= 300") == [1, 3]
    sample = ids(sample=7, seed=3)
    assert len(sample) == 7
    assert sample == ids(sample=7, seed=3) != ids(sample=7, seed=4)


def test_disagreements_of_file_and_source(catalogue: Any, server: ReviewServer) -> None:
    other = catalogue.photograph(iso=100.0, api={"iso": 400.0})
    catalogue.photograph(f_number=2.8, api={"f_number": 2.81})
    with catalogue.engine.connect() as connection:
        queue = build_queue(connection, catalogue.project, "medium", kind="disagreements")
        assert [row["id"] for row in queue.page(connection, 0, 9)] == [other]
    exif = get_json(server, f"/api/photograph?image={other}")["exif"]
    assert exif == {"iso": "ISO 100", "iso (api)": "ISO 400"}


def test_no_face_queue_excludes_manual_faces(catalogue: Any, server: ReviewServer) -> None:
    inspections = [{"image_id": image, "filter": "faces", "version": 1, "verdict": "keep"} for image in (1, 2, 3, 4)]
    box = {"kind": "face", "origin": "faces", "x": 0, "y": 0, "width": 60, "height": 60}
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Inspection), inspections)
        connection.execute(insert(Region), {**box, "image_id": 1, "score": 0.95})
        connection.execute(insert(Region), {**box, "image_id": 2, "score": 0.61})  # below the minimum score

    def ids() -> list[int]:
        with catalogue.engine.connect() as connection:
            queue = build_queue(connection, catalogue.project, "medium", kind="no-face")
            return [row["id"] for row in queue.page(connection, 0, 9)]

    assert ids() == [2, 3, 4]
    create_session(catalogue.project, catalogue.engine).add_box(3, "face", Box(10, 10, 50, 50))
    assert ids() == [2, 4]


def test_formats_that_browsers_do_not_rotate_become_upright_png(catalogue: Any, server: ReviewServer) -> None:
    image = PillowImage.new("RGB", (40, 30))
    image.paste((255, 0, 0), (0, 0, 5, 5))
    store = PhotoStore(catalogue.project.store, catalogue.project.state / "aside")
    for kind in ("TIFF", "PNG"):
        data = encode_image(image, kind, exif=exif_tags({}, orientation=6))
        sha256 = hashlib.sha256(data).hexdigest()
        store.put(sha256, data)
        status, body, headers = send(server, f"/photo/{sha256}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        with PillowImage.open(io.BytesIO(body)) as upright:
            assert upright.size == (30, 40)
            assert upright.getpixel((29, 0)) == (255, 0, 0)


def test_body_of_rejected_request_is_not_read_as_next_request(server: ReviewServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for _ in range(2):
        smuggled = f"GET /review.js HTTP/1.1\r\nCookie: lightmeter-review={server.token}\r\n\r\n"
        connection.request("POST", "/api/label", smuggled, {"Content-Type": "text/plain"})
        response = connection.getresponse()
        assert (response.status, b"403" in response.read()) == (403, True)
    connection.close()


Boxes = set[tuple[int, ...]]


@pytest.fixture
def boxes_of(catalogue: Any, server: ReviewServer) -> Callable[[str], Boxes]:
    """The effective boxes of a kind in the second photograph, as the page shows them; the filter detected two faces."""

    def boxes(kind: str) -> Boxes:
        rows = get_json(server, "/api/photograph?image=2")["boxes"]
        return {tuple(row[name] for name in Box._fields) for row in rows if row["kind"] == kind}

    faces = [
        {"image_id": 2, "kind": "face", "origin": "faces", "x": x, "y": 0, "width": 60, "height": 60, "score": 0.95}
        for x in (0, 300)
    ]
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Region), faces)
    return boxes


def test_faces_are_added_replaced_removed_and_restored(server: ReviewServer, boxes_of: Callable[[str], Boxes]) -> None:
    def edit(path: str, **message: Any) -> None:
        assert send(server, path, message=message)[0] == 200

    def id_of(x: int) -> int:
        return next(row["id"] for row in get_json(server, "/api/photograph?image=2")["boxes"] if row["x"] == x)

    face = {"image": 2, "kind": "face"}
    left, right, missed, better = Box(0, 0, 60, 60), Box(300, 0, 60, 60), Box(100, 10, 50, 50), Box(290, 5, 80, 90)
    edit("/api/box", **face, **missed._asdict())
    assert boxes_of("face") == {left, right, missed}
    edit("/api/box", **face, **better._asdict(), replaces=id_of(300))
    assert boxes_of("face") == {left, better, missed}
    for x in (0, 100, 290):
        edit("/api/remove-box", **face, box=id_of(x))
    assert boxes_of("face") == set()
    for before in ({better}, {better, missed}, {left, better, missed}, {left, right, missed}, {left, right}):
        edit("/api/undo")
        assert boxes_of("face") == before


def test_photograph_has_a_single_inside_box(catalogue: Any, boxes_of: Callable[[str], Boxes]) -> None:
    session: Session = create_session(catalogue.project, catalogue.engine)
    for box in (Box(5, 5, 600, 400), Box(20, 20, 500, 300)):
        session.add_box(2, "inside", box)
        assert boxes_of("inside") == {box}
    assert boxes_of("face") == {(0, 0, 60, 60), (300, 0, 60, 60)}


@pytest.fixture(scope="module")
def large_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Engine]]:
    """A catalogue of 10,000 photographs, the last 300 of which are in every queue."""
    project = create_project(tmp_path_factory.mktemp("large"))
    engine = open_engine(project)
    ids, queued = range(1, 10_001), range(9_701, 10_001)
    image = {"format": "JPEG", "width": 640, "height": 480, "file_size": 1}
    inspection = {"filter": "faces", "version": 1, "verdict": "keep"}
    face = {"kind": "face", "origin": "faces", "x": 0, "y": 0, "width": 60, "height": 60, "score": 0.95}
    label = {"target": "medium", "value": "film", "origin": "manual", "author": "ann"}
    sighting = {"run_id": 1, "source": "test", "state": "fetched"}
    with engine.begin() as connection:
        connection.execute(insert(HarvestRun).values(id=1, source="test", query={}, options={}))
        connection.execute(insert(Image), [{**image, "id": n, "sha256": f"{n:064x}"} for n in ids])
        connection.execute(insert(Inspection), [{**inspection, "image_id": n} for n in ids])
        connection.execute(insert(Region), [{**face, "image_id": n} for n in ids if n not in queued])
        connection.execute(insert(Label), [{**label, "image_id": n} for n in ids if n not in queued])
        connection.execute(
            insert(SightingRecord), [{**sighting, "id": n, "source_id": str(n), "image_id": n} for n in ids]
        )
        exif = [{"image_id": n, "sighting_id": None, "origin": "file", "iso": 100.0} for n in ids]
        exif += [
            {"image_id": None, "sighting_id": n, "origin": "api", "iso": 800.0 if n in queued else 100.0} for n in ids
        ]
        connection.execute(insert(Exif), exif)
    write_label_issues(project, "medium", [LabelIssue(n, f"{n:064x}", "film") for n in queued])
    yield project, engine
    engine.dispose()


@pytest.mark.parametrize("kind", ["all", "unjudged", "no-face", "disagreements", "label-issues"])
def test_page_of_a_large_queue_reads_few_rows(large_project: tuple[Project, Engine], kind: str) -> None:
    project, engine = large_project
    thousands: list[int] = []  # of instructions of SQLite's virtual machine
    event.listen(
        engine, "checkout", lambda connection, *_: connection.set_progress_handler(lambda: thousands.append(1), 1000)
    )
    with create_server(project, engine, kind=kind) as server:
        for after in (0, 5_000, 9_900):
            thousands.clear()
            assert len(get_json(server, f"/api/queue?after={after}&limit=48")["photographs"]) == 48
            assert len(thousands) < 10  # a scan of all photographs takes at least 30
