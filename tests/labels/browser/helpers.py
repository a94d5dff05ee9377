"""Helpers for tests of the browser."""

from typing import Any

from sqlalchemy import Engine

from lightmeter.labels.browser.boxes import crops_by_kind
from lightmeter.labels.browser.library import Library
from lightmeter.labels.browser.predictions import Predictions
from lightmeter.labels.browser.server import BrowserServer
from lightmeter.labels.browser.session import Session
from lightmeter.labels.browser.views import State
from lightmeter.labels.targets.registry import list_targets
from lightmeter.project import Project

PHOTOGRAPHS = 24
"""Number of photographs on the page of the fixture ``server``."""


def create_session(
    project: Project, engine: Engine, predictions: Predictions | None = None, *, blind: bool = False
) -> Session:
    """Return a session of the author ``ann``."""
    targets = {name: entry.target for name, entry in list_targets(project).items()}
    return Session(Library(project, engine, "ann", predictions, blind=blind), targets, crops_by_kind(project.settings))


def create_server(project: Project, engine: Engine, predictions: Predictions | None = None) -> BrowserServer:
    """Return a server of the photographs of a project."""
    return BrowserServer(create_session(project, engine, predictions))


def ids_of(session: Session, **state: Any) -> list[int]:
    """Return the ids of the photographs that a new view shows, in order."""
    _, view = session.library.open_view(State(**{"target": "medium", "sort": "found", **state}), fresh=True)
    return [int(image) for image in view.photographs.ids[view.rows]]
