"""Running the review page for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from lightmeter.labels.review.queues import build_queue
from lightmeter.labels.review.regions import crops_by_kind
from lightmeter.labels.review.server import ReviewServer
from lightmeter.labels.review.session import Session
from lightmeter.labels.targets.base import Target
from lightmeter.labels.targets.registry import get_target
from lightmeter.project import Project

COUNT = 24
"""Photographs on the page of the fixture ``server``."""


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
    target = get_target(name)
    with catalogue.engine.connect() as connection:
        queue = build_queue(connection, catalogue.project, target.name)
    with running(
        ReviewServer(catalogue.project, queue, session(catalogue.project, catalogue.engine, target))
    ) as server:
        yield server


def session(project: Project, engine: Engine, target: Target[Any]) -> Session:
    return Session(engine, target, "ann", crops_by_kind(project.settings))
