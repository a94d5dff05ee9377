"""Helpers for tests of the review page."""

from typing import Any

from sqlalchemy import Engine

from lightmeter.labels.review.boxes import crops_by_kind
from lightmeter.labels.review.queues import build_queue
from lightmeter.labels.review.server import ReviewServer
from lightmeter.labels.review.session import Session
from lightmeter.labels.targets.registry import get_target
from lightmeter.project import Project

PHOTOGRAPHS = 24
"""Number of photographs on the page of the fixture ``server``."""


def create_session(project: Project, engine: Engine, target: str = "medium") -> Session:
    """Return a session of the author ``ann``."""
    return Session(engine, get_target(target), "ann", crops_by_kind(project.settings))


def create_server(project: Project, engine: Engine, target: str = "medium", **options: Any) -> ReviewServer:
    """Return a server for a queue; the options are those of `build_queue`."""
    with engine.connect() as connection:
        queue = build_queue(connection, project, target, **options)
    return ReviewServer(project, queue, create_session(project, engine, target))
