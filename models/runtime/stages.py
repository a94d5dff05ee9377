"""The stages of a prediction and their times, for traces. Costs next to nothing unless somebody records them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

StageName = Literal["decode", "preprocess", "forward", "heads"]
"""Decoding of the file; patches, view and measures; the network; the prediction of each target from its logits."""


class Stage(NamedTuple):
    """A stage of a prediction.

    Attributes:
        name: Its name.
        start_ns: When it began, in nanoseconds since 1970.
        end_ns: When it ended.
    """

    name: StageName
    start_ns: int
    end_ns: int


_recorded: ContextVar[list[Stage] | None] = ContextVar("stages", default=None)


@contextmanager
def recorded_stages() -> Iterator[list[Stage]]:
    """Yield the list to which the stages of the block are added, in this thread."""
    stages: list[Stage] = []
    token = _recorded.set(stages)
    try:
        yield stages
    finally:
        _recorded.reset(token)


@contextmanager
def stage(name: StageName) -> Iterator[None]:
    """Record the time of the block, also if it fails, where stages are recorded."""
    stages = _recorded.get()
    if stages is None:
        yield
        return
    start = time.time_ns()
    try:
        yield
    finally:
        stages.append(Stage(name, start, time.time_ns()))
