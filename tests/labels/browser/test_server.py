"""Server of the browser: access, validation, views, edits, boxes and images."""

import hashlib
import http.client
import io
import itertools
import json
import random
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image as PillowImage
from sqlalchemy import delete, func, insert, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.database_errors import CatalogueError
from lightmeter.harvest.catalogue.database.session import transaction
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label, Region, SightingRecord
from lightmeter.images.geometry import Box
from lightmeter.labels.annotations.model import Annotation, insert_annotations, read_annotations, resolve_conflicts
from lightmeter.labels.browser.label_columns import LabelColumns
from lightmeter.labels.browser.predictions import Predictions
from lightmeter.labels.browser.server import BrowserServer
from tests.labels.browser.helpers import PHOTOGRAPHS, create_server, create_session, ids_of
from tests.support import encode_image, exif_tags, wait_until

Response = tuple[int, bytes, http.client.HTTPMessage]

identifiers = (f"edit {number}" for number in itertools.count())


def send(server: BrowserServer, path: str, *, message: Any = None, headers: dict[str, str] | None = None) -> Response:
    """Send a request with the token's cookie; return status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    defaults = {"Cookie": f"lightmeter-browser-{server.port}={server.token}", "Content-Type": "application/json"}
    body = None if message is None else json.dumps(message)
    connection.request("GET" if body is None else "POST", path, body, {**defaults, **(headers or {})})
    response = connection.getresponse()
    result = response.status, response.read(), response.headers
    connection.close()
    return result


def get_json(server: BrowserServer, path: str) -> Any:
    status, body, _ = send(server, path)
    assert status == 200, body
    return json.loads(body)


def open_view(server: BrowserServer, state: str = "target=medium&sort=found") -> Any:
    return get_json(server, f"/api/view?{state}")


def edit(server: BrowserServer, path: str, opened: Any, **message: Any) -> Response:
    sent = {"edit": next(identifiers), "view": opened["view"], "since": opened["version"], **message}
    return send(server, path, message=sent)


def test_page_needs_token_and_loopback_host(server: BrowserServer) -> None:
    assert send(server, "/")[0] == 200
    for path in ("/", "/app.js", "/api/project"):
        assert send(server, path, headers={"Cookie": ""})[0] == 403
        assert send(server, path, headers={"Cookie": f"lightmeter-browser-{server.port}=guess"})[0] == 403
    assert send(server, "/?token=guess", headers={"Cookie": ""})[0] == 403
    assert send(server, "/", headers={"Host": "evil.example"})[0] == 400
    assert send(server, f"/?token={server.token}", headers={"Host": f"evil.example:{server.port}"})[0] == 400
    status, _, headers = send(server, f"/?q=iso%3A100&token={server.token}&camera=A%26B", headers={"Cookie": ""})
    assert (status, headers["Location"]) == (
        303,
        "./?q=iso%3A100&camera=A%26B",
    )  # relative: it may stand behind a prefix
    assert "HttpOnly" in str(headers["Set-Cookie"])
    assert "SameSite=lax" in str(headers["Set-Cookie"])


def test_responses_have_security_headers(server: BrowserServer) -> None:
    for path, sent in (("/", {}), ("/api/project", {}), ("/", {"Cookie": ""})):
        headers = send(server, path, headers=sent)[2]
        assert headers["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"


def test_invalid_requests_are_rejected_and_write_nothing(catalogue: Any, server: BrowserServer) -> None:
    view = open_view(server)
    label = {"ranges": [[0, 0]], "value": "film"}
    edit_fields = {"edit": "x", "view": view["view"], "since": view["version"]}
    assert (
        send(server, "/api/label", message={**edit_fields, **label}, headers={"Content-Type": "text/plain"})[0] == 415
    )
    for wrong in (
        {"value": "fim"}, {"value": 7}, {"value": ["film"]}, {"ranges": []}, {"ranges": [[1000, 2000]]},
        {"ranges": [[-1, 3]]}, {"ranges": "all"}, {"view": "unknown"}, {"since": "now"}, {"more": 1},
    ):  # fmt: skip
        assert edit(server, "/api/label", view, **{**label, **wrong})[0] == 400, wrong
    assert edit(server, "/api/label", view, ranges=[[0, 0]], value="x" * 2_000_000)[0] == 413
    assert send(server, "/api/label", message=[])[0] == 400
    assert send(server, "/api/label")[0] == 405
    box = {"image": 1, "kind": "face", "x": 600, "y": 0, "width": 100, "height": 10}
    assert edit(server, "/api/box", view, **box)[0] == 400
    assert edit(server, "/api/box", view, **{**box, "x": 0, "kind": "nose"})[0] == 400
    assert edit(server, "/api/remove-box", view, image=1, kind="face", box=7)[0] == 400
    photographs = f"/api/photographs?view={view['view']}"
    for path in (f"{photographs}&start=-1", f"{photographs}&start=0&limit=501", f"/api/photograph?image={2**63}"):
        status, body, _ = send(server, path)
        assert status == 400
        assert json.loads(body)["error"]["reason"].startswith("Invalid request: ")
    for query, word in (
        ("q=iso+%3E%3E", "column"), ("sort=size", "sort key"), ("group=x", "facet"), ("queue=x", "queue"),
        ("target=medum", "did you mean medium"), ("camra=x", "did you mean camera"), ("sample=-1", "whole number"),
        ("queue=label-issues&target=iso", "audit"), ("predictions=..%2F..%2Fetc", "run"), ("iso=1-2", "value"),
    ):  # fmt: skip
        status, body, _ = send(server, f"/api/view?{query}")
        assert (status, word in json.loads(body)["error"]["reason"]) == (400, True), (query, body)
    assert send(server, "/api/photograph?image=1000")[0] == 400
    assert send(server, "/api/nothing", message={})[0] == 404
    assert send(server, "/photo/" + "0" * 64)[0] == 404
    assert send(server, "/thumbnail/..%2f..%2fcatalogue")[0] == 404
    assert send(server, "/../app.js")[0] == 404
    assert catalogue.rows(select(func.count()).where(Label.origin == "manual")) == [(0,)]


def test_many_photographs_are_labelled_undone_and_redone_at_once(catalogue: Any, server: BrowserServer) -> None:
    view = open_view(server)
    assert (view["total"], view["labelled"], view["classes"]) == (PHOTOGRAPHS, 0, ["digital", "film"])
    message = {"edit": "same", "view": view["view"], "since": view["version"]}
    message |= {"ranges": [[2, 4], [10, 10]], "value": "film", "toggle": False}
    answers = [json.loads(send(server, "/api/label", message=message)[1]) for _ in range(2)]  # sent again: made once
    assert answers[0] == answers[1]
    assert (answers[0]["count"], answers[0]["labelled"], answers[0]["image"]) == (4, 4, 3)
    assert {card["id"]: card["label"] for card in answers[0]["changes"]} == dict.fromkeys((3, 4, 5, 11), "film")
    undone = json.loads(edit(server, "/api/undo", answers[0] | {"view": view["view"]})[1])
    assert {card["label"] for card in undone["changes"]} == {"digital"}
    redone = json.loads(edit(server, "/api/redo", undone | {"view": view["view"]})[1])
    assert redone["labelled"] == 4
    nothing = json.loads(edit(server, "/api/redo", redone | {"view": view["view"]})[1])
    assert (nothing["image"], nothing["count"]) == (None, 0)
    assert catalogue.rows(select(func.count()).where(Label.origin == "manual")) == [(12,)]
    assert get_json(server, f"/api/next?view={view['view']}&after=2") == {"position": 5}


def test_stale_window_is_refused(catalogue: Any, server: BrowserServer) -> None:
    view = open_view(server)
    assert edit(server, "/api/label", view, ranges=[[0, 0]], value="film")[0] == 200
    status, body, _ = edit(
        server, "/api/label", view, ranges=[[0, 3]], value="film"
    )  # another window still shows "digital"
    assert (status, b"changed elsewhere" in body) == (409, True)
    other = create_session(catalogue.project, catalogue.engine)  # another process of this author
    other.label("medium", ids(1), "digital", other.library.labels("medium").version)
    assert edit(server, "/api/undo", view)[0] == 409
    assert catalogue.rows(select(func.count()).where(Label.origin == "manual")) == [(2,)]
    changes = get_json(server, f"/api/changes?view={view['view']}&since={view['version']}")
    assert [(card["id"], card["label"], card["origin"]) for card in changes["changes"]] == [(1, "digital", "manual")]


def ids(*images: int) -> Any:
    return np.asarray(images, np.int64)


def test_removed_labels_are_unjudged_again(catalogue: Any, server: BrowserServer) -> None:
    session = create_session(catalogue.project, catalogue.engine)
    for value, total in (("film", PHOTOGRAPHS - 1), (None, PHOTOGRAPHS)):
        session.label("medium", ids(1), value, session.library.labels("medium").version)
        assert len(ids_of(session, queue="unjudged")) == total


def test_views_are_selected_by_query_search_queue_sample_and_facets(catalogue: Any, server: BrowserServer) -> None:
    session = create_session(catalogue.project, catalogue.engine)
    assert len(ids_of(session)) == PHOTOGRAPHS
    assert ids_of(session, q="iso <= 300") == [1, 2, 3]
    assert ids_of(session, q="12.jpg") == [12]  # words to search for, as it is no query
    assert 12 not in ids_of(session, q="jpg -12.jpg")
    assert len(ids_of(session, q="jpg -12.jpg")) == PHOTOGRAPHS - 1
    session.label("medium", ids(2), "film", session.library.labels("medium").version)
    assert ids_of(session, q="iso <= 300", queue="unjudged") == [1, 3]
    assert ids_of(session, selections={"label": ("film",)}) == [2]
    assert ids_of(session, selections={"iso": ("100-320",)}, sort="-iso") == [3, 2, 1]
    sample = ids_of(session, sample=7, seed=3)
    assert len(sample) == 7
    assert sample == ids_of(session, sample=7, seed=3) != ids_of(session, sample=7, seed=4)


def test_facets_count_what_the_other_facets_select(catalogue: Any) -> None:
    for make, iso, owner in (("A", 100.0, "ann"), ("A", 400.0, "bob"), ("B", 400.0, "bob"), ("B", 410.0, None)):
        catalogue.photograph(make=make, model=f"{make} <i>1</i>", iso=iso, owner=owner, taken_at="2019-05-01T10:00:00")
    with create_server(catalogue.project, catalogue.engine) as server:
        view = open_view(server, "camera=A+%3Ci%3E1%3C%2Fi%3E&iso=400&group=photographer&sort=found")
        facets = {facet["name"]: facet for facet in view["facets"]}
        assert view["total"] == 1
        assert facets["camera"]["values"] == [["B <i>1</i>", "B <i>1</i>", 2], ["A <i>1</i>", "A <i>1</i>", 1]]
        assert [value for value in facets["iso"]["values"] if value[2]] == [
            ["100", "ISO 100", 1],
            ["400", "ISO 400", 1],
        ]
        assert facets["year"]["values"] == [["2019", "2019", 1]]
        everyone = open_view(server, "group=photographer&sort=-iso")
        assert everyone["groups"] == [
            {"text": "bob", "start": 0, "count": 2}, {"text": "ann", "start": 2, "count": 1},
            {"text": "unknown", "start": 3, "count": 1},
        ]  # fmt: skip
        assert [card["id"] for card in everyone["photographs"]] == [2, 3, 1, 4]
        first = open_view(server, "group=camera&iso=100&iso=400&q=not+owner+is+missing")["groups"]
        assert [(group["text"], group["count"]) for group in first] == [("A <i>1</i>", 2), ("B <i>1</i>", 1)]
        settings = open_view(server, "group=iso")["groups"]
        assert [(group["text"], group["count"]) for group in settings] == [("ISO 100", 1), ("ISO 400", 3)]
        assert [card["id"] for card in open_view(server, "photographer=")["photographs"]] == [4]


def test_photographs_and_labels_added_by_others_appear(any_catalogue: Any) -> None:
    any_catalogue.photograph(medium="digital")
    session = create_session(any_catalogue.project, any_catalogue.engine)
    assert ids_of(session) == [1]
    for _ in range(2):
        any_catalogue.photograph(owner="new")
    wait_until(lambda: len(ids_of(session)) == 3)  # PostgreSQL counts changes with a delay
    assert ids_of(session, selections={"photographer": ("new",)}) == [2, 3]
    with any_catalogue.engine.begin() as connection:
        insert_annotations(connection, [Annotation(3, "medium", "film", None, "manual", "eve", None)])
    assert ids_of(session, selections={"label": ("film",)}) == [3]
    assert session.label("medium", ids(3, 2), "digital", session.library.labels("medium").version).images.tolist() == [
        3,
        2,
    ]


def test_label_is_stored_for_all_photographs_or_none(any_catalogue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def manual() -> list[Any]:
        query = select(Label.image_id, Label.value).where(Label.origin == "manual").order_by(Label.id)
        return [tuple(row) for row in any_catalogue.rows(query)]

    images = np.array([any_catalogue.photograph(iso=100.0) for _ in range(6)])[[4, 0, 1, 2, 5]]
    session = create_session(any_catalogue.project, any_catalogue.engine)
    session.label("medium", images, "film", 0)
    assert manual() == [(image, "film") for image in sorted(images)]
    with monkeypatch.context() as context:
        context.setattr(session.library, "write", MagicMock(side_effect=OSError))
        with pytest.raises(OSError):  # noqa: PT011
            session.undo()
    session.undo()  # still to be undone
    assert manual()[5:] == [(image, None) for image in sorted(images)]
    unknown = {"image_id": 99, "target": "medium", "value": "film", "origin": "manual", "author": "eve"}
    with pytest.raises(CatalogueError, match="contradicts"), transaction(any_catalogue.engine) as connection:
        connection.execute(insert(Label), unknown)  # also after transactions that check no foreign keys
    with any_catalogue.engine.begin() as connection:  # removed elsewhere
        for table in (Label, Exif, SightingRecord):
            connection.execute(delete(table).where(table.image_id == 5))
        connection.execute(delete(Image).where(Image.id == 5))
    before = manual()
    with pytest.raises(UsageError, match="no such photograph"):
        session.label("medium", images, "film", 2**62)
    assert manual() == before


def test_labels_in_memory_are_those_that_precedence_makes_effective(catalogue: Any) -> None:
    images = [catalogue.photograph() for _ in range(8)]
    session = create_session(catalogue.project, catalogue.engine)
    photographs, rng = session.library.snapshot.photographs, random.Random(5)
    labels = LabelColumns(photographs, "medium", "ann")
    for _ in range(12):
        with catalogue.engine.begin() as connection:
            insert_annotations(connection, [
                Annotation(rng.choice(images), rng.choice(("medium", "iso")), rng.choice(("film", "digital", None)), None,
                           rng.choice(("manual", "import", "rule", "model")), rng.choice(("ann", "bob")), None)
                for _ in range(4)
            ])  # fmt: skip
        with catalogue.engine.connect() as connection:
            labels.refresh(connection)
            at_once = LabelColumns(photographs, "medium", "ann")
            at_once.refresh(connection)
            effective = resolve_conflicts(read_annotations(connection, Label.image_id > 0, ["medium"]))
        expected = [effective.get((image, "medium")) for image in images]
        for columns in (labels, at_once):
            assert [columns.label(row) for row in range(8)] == [
                (label.value, label.origin) if label else (None, None) for label in expected
            ]


def test_classes_of_multilabel_targets_are_added_to_each_photograph(catalogue: Any) -> None:
    images = [catalogue.photograph() for _ in range(3)]
    session = create_session(catalogue.project, catalogue.engine)

    def press(value: str, *selected: int) -> list[str | None]:
        session.label("concept", ids(*selected), value, session.library.labels("concept").version, toggle=True)
        return [session.library.labels("concept").label(row)[0] for row in range(3)]

    assert press("street", images[0]) == ["street", None, None]
    assert press("night", *images) == ["night|street", "night", "night"]
    assert press("street", *images) == ["night|street"] * 3
    assert press("night", *images) == ["street"] * 3


def test_predictions_are_facets_and_a_sort_key(catalogue: Any) -> None:
    images = [catalogue.photograph() for _ in range(4)]
    hashes = [hashlib.sha256(str(image).encode()).hexdigest() for image in images]
    rows = {
        "sha256": hashes[:3], "target": ["medium"] * 3, "predicted": ["film", "digital", "film"],
        "truth": ["film", "film", "digital"], "split": ["test"] * 3, "probabilities": [[0.1, 0.9], [0.6, 0.4], [0.3, 0.7]],
        "patches": [[{"x": 0, "y": 0, "width": 64, "height": 64, "contribution": 0.25}], None, None],
    }  # fmt: skip
    with create_server(catalogue.project, catalogue.engine, Predictions("run", pa.table(rows))) as server:
        view = open_view(server, "target=medium&truth=digital&predicted=film&split=test")
        assert [(card["id"], card["confidence"]) for card in view["photographs"]] == [(3, 0.7)]
        assert [card["id"] for card in open_view(server, "target=medium&sort=confidence")["photographs"]] == [
            2,
            3,
            1,
            4,
        ]
        (prediction,) = get_json(server, "/api/photograph?image=1")["predictions"]
        assert prediction["patches"] == [{"x": 0, "y": 0, "width": 64, "height": 64, "contribution": 0.25}]


def test_disagreements_of_file_and_source(catalogue: Any, server: BrowserServer) -> None:
    other = catalogue.photograph(iso=100.0, api={"iso": 400.0})
    catalogue.photograph(f_number=2.8, api={"f_number": 2.81})
    assert ids_of(create_session(catalogue.project, catalogue.engine), queue="disagreements") == [other]
    (iso,) = get_json(server, f"/api/photograph?image={other}")["exif"]
    assert (iso["text"], iso["origin"]) == ("ISO 100", "file")
    assert iso["others"] == [{"origin": "api", "text": "ISO 400"}]


def test_no_face_queue_excludes_manual_faces(catalogue: Any, server: BrowserServer) -> None:
    inspections = [{"image_id": image, "filter": "faces", "version": 1, "verdict": "keep"} for image in (1, 2, 3, 4)]
    box = {"kind": "face", "origin": "faces", "x": 0, "y": 0, "width": 60, "height": 60}
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Inspection), inspections)
        connection.execute(insert(Region), {**box, "image_id": 1, "score": 0.95})
        connection.execute(insert(Region), {**box, "image_id": 2, "score": 0.61})  # below the minimum score
    session = create_session(catalogue.project, catalogue.engine)
    assert ids_of(session, queue="no-face") == [2, 3, 4]
    session.add_box(3, "face", Box(10, 10, 50, 50))
    assert ids_of(session, queue="no-face") == [2, 4]
    assert ids_of(session, selections={"filter.faces": ("keep",)}) == [1, 2, 3, 4]


def test_formats_that_browsers_do_not_rotate_become_upright_png(catalogue: Any, server: BrowserServer) -> None:
    image = PillowImage.new("RGB", (40, 30))
    image.paste((255, 0, 0), (0, 0, 5, 5))
    store = catalogue.project.store
    for kind in ("TIFF", "PNG"):
        data = encode_image(image, kind, exif=exif_tags({}, orientation=6))
        sha256 = hashlib.sha256(data).hexdigest()
        store.put(sha256, data)
        status, body, headers = send(server, f"/photo/{sha256}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        with PillowImage.open(io.BytesIO(body)) as upright:
            assert upright.size == (30, 40)
            assert upright.getpixel((29, 0)) == (255, 0, 0)


def test_body_of_rejected_request_is_not_read_as_next_request(server: BrowserServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for _ in range(2):
        smuggled = f"GET /app.js HTTP/1.1\r\nCookie: lightmeter-browser={server.token}\r\n\r\n"
        connection.request("POST", "/api/label", smuggled, {"Content-Type": "text/plain"})
        response = connection.getresponse()
        assert (response.status, b"403" in response.read()) == (403, True)
    connection.close()


Boxes = set[tuple[int, ...]]


@pytest.fixture
def boxes_of(catalogue: Any, server: BrowserServer) -> Callable[[str], Boxes]:
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


def test_faces_are_added_replaced_removed_and_restored(server: BrowserServer, boxes_of: Callable[[str], Boxes]) -> None:
    view = open_view(server)

    def change(path: str, **message: Any) -> None:
        assert edit(server, path, view, **message)[0] == 200

    def id_of(x: int) -> int:
        return next(row["id"] for row in get_json(server, "/api/photograph?image=2")["boxes"] if row["x"] == x)

    face = {"image": 2, "kind": "face"}
    left, right, missed, better = Box(0, 0, 60, 60), Box(300, 0, 60, 60), Box(100, 10, 50, 50), Box(290, 5, 80, 90)
    change("/api/box", **face, **missed._asdict())
    assert boxes_of("face") == {left, right, missed}
    change("/api/box", **face, **better._asdict(), replaces=id_of(300))
    assert boxes_of("face") == {left, better, missed}
    for x in (0, 100, 290):
        change("/api/remove-box", **face, box=id_of(x))
    assert boxes_of("face") == set()
    for before in ({better}, {better, missed}, {left, better, missed}, {left, right, missed}, {left, right}):
        change("/api/undo")
        assert boxes_of("face") == before


def test_photograph_has_a_single_inside_box(catalogue: Any, boxes_of: Callable[[str], Boxes]) -> None:
    session = create_session(catalogue.project, catalogue.engine)
    for box in (Box(5, 5, 600, 400), Box(20, 20, 500, 300)):
        session.add_box(2, "inside", box)
        assert boxes_of("inside") == {box}
    assert boxes_of("face") == {(0, 0, 60, 60), (300, 0, 60, 60)}


def test_blind_annotators_see_photographs_and_their_own_labels_alone(server: BrowserServer, catalogue: Any) -> None:
    with BrowserServer(create_session(catalogue.project, catalogue.engine, blind=True)) as blind:
        opened = open_view(blind, "target=medium")
        assert opened["total"] == PHOTOGRAPHS
        assert [facet["name"] for facet in opened["facets"]] == ["label"]
        assert {card["label"] for card in opened["photographs"]} == {None}
        assert opened["labelled"] == 0
        first = opened["photographs"][0]
        assert first["file"] == first["sha256"][:12]
        details = get_json(blind, f"/api/photograph?image={first['id']}&predictions=latest")
        assert not any(details[name] for name in ("exif", "sightings", "verdicts", "history", "predictions"))
        assert list(get_json(blind, "/api/project")["sorts"]) == ["file"]
        assert send(blind, "/api/view?target=medium&iso=100")[0] == 400
        assert get_json(blind, "/api/view?target=medium&q=label.medium:digital")["total"] == 0
        assert edit(blind, "/api/label", opened, ranges=[(0, 0)], value="film")[0] == 200
        cards = open_view(blind, "target=medium")["photographs"]
        assert [(card["label"], card["origin"]) for card in cards[:2]] == [("film", "manual"), (None, None)]
    by_id = {card["id"]: card for card in open_view(server)["photographs"]}
    assert by_id[first["id"]]["label"] == "film"
