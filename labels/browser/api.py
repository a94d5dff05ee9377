"""The requests of the browser's page: views, photographs and edits, as JSON."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import read
from lightmeter.images.geometry import Box
from lightmeter.labels.browser.boxes import BOX_KINDS
from lightmeter.labels.browser.details import photograph_details
from lightmeter.labels.browser.label_columns import LabelColumns
from lightmeter.labels.browser.library import Library, Snapshot
from lightmeter.labels.browser.session import Edit, Session, StaleError
from lightmeter.labels.browser.views import SORT_TITLES, State, View
from lightmeter.web import read_body

_MAX_BODY_BYTES = 1_000_000
_MAX_PAGE = 500
_FIRST_PAGE = 120
_TELLING = ("sightings", "exif", "verdicts", "history", "predictions")  # of a photograph, hidden from blind annotators
_MAX_CHANGES = 2_000  # a page that must show more loads its photographs again

Id = Annotated[int, Field(ge=0, lt=2**63)]
Index = Annotated[int, Field(ge=0, lt=2**31)]
Text = Annotated[str, Field(max_length=200)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _PhotographsRequest(_Message):
    view: Text
    start: Index
    limit: Annotated[int, Field(ge=0, le=_MAX_PAGE)] = _MAX_PAGE


class _PositionRequest(_Message):
    view: Text
    image: Id


class _NextRequest(_Message):
    view: Text
    after: Annotated[int, Field(ge=-1, lt=2**31)]


class _PhotographRequest(_Message):
    image: Id
    predictions: Text = ""


class _ChangesRequest(_Message):
    view: Text
    since: Id


class _EditRequest(_Message):
    edit: Text
    view: Text
    since: Id


class _LabelRequest(_EditRequest):
    """A label of photographs of a view: ``ranges`` are first and last positions."""

    ranges: Annotated[list[tuple[Index, Index]], Field(min_length=1, max_length=20_000)]
    value: Annotated[str, Field(max_length=10_000)] | None
    toggle: bool = False


class _BoxRequest(_EditRequest):
    image: Id
    kind: Text
    x: Id
    y: Id
    width: Id
    height: Id
    replaces: Id | None = None

    def area(self) -> Box:
        return Box(self.x, self.y, self.width, self.height)


class _RemoveBoxRequest(_EditRequest):
    image: Id
    kind: Text
    box: Id


M = TypeVar("M", bound=_Message)
E = TypeVar("E", bound=_EditRequest)


def api_routes(session: Session) -> list[BaseRoute]:
    """Return the routes of the page's requests.

    Args:
        session: Session of the annotator.
    """
    library = session.library

    def label(message: _LabelRequest) -> Edit:
        _, view = library.view(message.view)
        images = view.photographs.ids[view.rows[_positions(message.ranges, len(view.rows))]]
        return session.label(view.state.target, images, message.value, message.since, toggle=message.toggle)

    return [
        Route("/api/project", lambda _: JSONResponse(_project(session))),
        Route("/api/view", lambda request: JSONResponse(_open(session, request))),
        _query("/api/photographs", _PhotographsRequest, lambda m: _page(library, m.view, m.start, m.limit)),
        _query("/api/position", _PositionRequest, lambda m: _position(library, m)),
        _query("/api/next", _NextRequest, lambda m: _next_unlabelled(library, m)),
        _query("/api/changes", _ChangesRequest, lambda m: _changes(library, m.view, m.since)),
        _query("/api/photograph", _PhotographRequest, lambda m: _details(session, m)),
        _edit("/api/label", _LabelRequest, session, label),
        _edit("/api/box", _BoxRequest, session, lambda m: session.add_box(m.image, m.kind, m.area(), m.replaces)),
        _edit("/api/remove-box", _RemoveBoxRequest, session, lambda m: session.remove_box(m.image, m.kind, m.box)),
        _edit("/api/undo", _EditRequest, session, lambda _: session.undo()),
        _edit("/api/redo", _EditRequest, session, lambda _: session.redo()),
    ]


def _query(path: str, model: type[M], answer: Callable[[M], Any]) -> Route:
    return Route(path, lambda request: JSONResponse(answer(_validate(model, dict(request.query_params)))))


def _edit(path: str, model: type[E], session: Session, make: Callable[[E], Edit | None]) -> Route:
    """Return the route of an edit: a JSON message in, what changed out."""

    def work(message: E) -> dict[str, Any]:
        edit = session.once(message.edit, lambda: make(message))
        changes = _changes(session.library, message.view, message.since)
        if edit is None:
            return {**changes, "image": None, "count": 0, "boxes": False}
        return {**changes, "image": int(edit.images[0]), "count": len(edit.images), "boxes": not edit.target}

    async def endpoint(request: Request) -> Response:
        if request.headers.get("Content-Type") != "application/json":
            raise HTTPException(415, "The Content-Type must be application/json.")
        message = _validate(model, await read_body(request, _MAX_BODY_BYTES))
        try:
            return JSONResponse(await run_in_threadpool(work, message))
        except StaleError as error:
            raise HTTPException(409, str(error)) from error

    return Route(path, endpoint, methods=["POST"])


def _validate(model: type[M], values: bytes | Mapping[str, str]) -> M:
    try:
        return model.model_validate_json(values) if isinstance(values, bytes) else model.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UsageError(f"Invalid request: {'.'.join(map(str, problem['loc']))}: {problem['msg']}.") from error


def _project(session: Session) -> dict[str, Any]:
    """Return what all views of a project share."""
    return {
        "name": session.library.project.settings.project.name,
        "author": session.library.author,
        "targets": sorted(session.targets),
        "box_kinds": BOX_KINDS,
        "sorts": {"file": "Random order"} if session.library.blind else SORT_TITLES,
        "photographs": len(session.library.snapshot.photographs.ids),
    }


def _open(session: Session, request: Request) -> dict[str, Any]:
    items = [(name, value) for name, value in request.query_params.multi_items() if name != "fresh"]
    state = State.parse(items)
    if state.queue in ("unjudged", "label-issues") and not state.target:
        raise UsageError(f"The queue {state.queue} needs a target.")
    target = session.target(state.target) if state.target else None
    key, view = session.library.open_view(state, fresh="fresh" in request.query_params)
    return {
        "view": key,
        "total": len(view.rows),
        "search": view.search,
        "facets": view.facets(),
        "groups": [vars(group) for group in view.groups],
        "classes": session.classes(state.target) if target else [],
        "open_classes": bool(target and not target.classes),
        "multilabel": bool(target and target.multilabel),
        **_page(session.library, key, 0, _FIRST_PAGE),
    }


def _page(library: Library, key: str, start: int, limit: int) -> dict[str, Any]:
    """Return photographs of a view, with progress and version of the labels."""
    snapshot, view = library.view(key)
    labels = _labels(library, snapshot, view)
    rows = view.rows[start : start + limit]
    return {"start": start, "photographs": [_card(view, labels, int(row)) for row in rows], **_summary(view, labels)}


def _labels(library: Library, snapshot: Snapshot, view: View) -> LabelColumns | None:
    return library.labels(view.state.target, snapshot) if view.state.target else None


def _summary(view: View, labels: LabelColumns | None) -> dict[str, Any]:
    if labels is None:
        return {"version": 0, "labelled": 0}
    return {"version": labels.version, "labelled": int(np.count_nonzero(labels.labelled[view.rows]))}


def _card(view: View, labels: LabelColumns | None, row: int) -> dict[str, Any]:
    photographs = view.photographs
    card: dict[str, Any] = {
        "id": int(photographs.ids[row]),
        "sha256": photographs.sha256[row].as_py(),
        "file": photographs.files[row].as_py(),
    }
    if labels is not None:
        card["label"], card["origin"] = labels.label(row)
    predicted = view.columns.get("predicted")
    if predicted is not None and predicted.codes[row] >= 0:
        card["predicted"] = predicted.values[predicted.codes[row]]
        card["confidence"] = None if np.isnan(view.confidence[row]) else round(float(view.confidence[row]), 3)
    return card


def _position(library: Library, message: _PositionRequest) -> dict[str, Any]:
    _, view = library.view(message.view)
    positions = np.flatnonzero(view.photographs.ids[view.rows] == message.image)
    return {"position": int(positions[0]) if len(positions) else None}


def _next_unlabelled(library: Library, message: _NextRequest) -> dict[str, Any]:
    """Return the position of the next photograph that no person has labelled, from the start again after the last."""
    snapshot, view = library.view(message.view)
    labels = _labels(library, snapshot, view)
    if labels is None:
        raise UsageError("Select a target first.")
    positions = np.flatnonzero(~labels.labelled[view.rows])
    later = positions[positions > message.after]
    return {"position": int(later[0]) if len(later) else int(positions[0]) if len(positions) else None}


def _changes(library: Library, key: str, since: int) -> dict[str, Any]:
    """Return the labels that changed after a version; None if they are too many."""
    snapshot, view = library.view(key)
    labels = _labels(library, snapshot, view)
    changed = [] if labels is None else np.flatnonzero(labels.changed > since).tolist()
    return {
        "changes": None if len(changed) > _MAX_CHANGES else [_card(view, labels, row) for row in changed],
        **_summary(view, labels),
    }


def _details(session: Session, message: _PhotographRequest) -> dict[str, Any]:
    predictions = session.library.predictions(State(predictions=message.predictions))
    details = read(
        session.library.engine,
        lambda connection: photograph_details(connection, message.image, session.crops, predictions),
    )
    return details | {name: [] for name in _TELLING} if session.library.blind else details


def _positions(ranges: list[tuple[int, int]], total: int) -> NDArray[np.int64]:
    """Return the positions in ranges, which are clipped to the view.

    Raises:
        UsageError: There are none.
    """
    selected = np.zeros(total, bool)
    for first, last in ranges:
        selected[first : last + 1] = True
    positions = np.flatnonzero(selected)
    if not len(positions):
        raise UsageError("Select at least one photograph.")
    return positions
