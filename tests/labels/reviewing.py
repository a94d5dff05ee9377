"""Running the review page for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from labels.review.actions import Session
from labels.review.queue import chosen_queue
from labels.review.regions import crops_by_kind
from labels.review.server import ReviewServer
from labels.targets.base import Target
from labels.targets.library import find
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
    target = find(name)
    with catalogue.engine.connect() as connection:
        queue = chosen_queue(connection, catalogue.project, target.name)
    with running(
        ReviewServer(catalogue.project, queue, session(catalogue.project, catalogue.engine, target))
    ) as server:
        yield server


def session(project: Project, engine: Engine, target: Target[Any]) -> Session:
    return Session(engine, target, "ann", crops_by_kind(project.settings))
