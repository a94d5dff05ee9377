"""Constant load on a server."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.serve.support import OCTET_STREAM, RunningServer, make_photo

PHOTO = make_photo(9)


@contextmanager
def constant_load(server: RunningServer, photo: bytes = PHOTO) -> Iterator[list[httpx.Response]]:
    """Send a photograph repeatedly from two threads while the block runs; yield the growing list of responses."""
    responses: list[httpx.Response] = []
    finished = threading.Event()

    def send() -> None:
        while not finished.is_set():
            responses.append(server.post("/predictions/tiny", content=photo, headers=OCTET_STREAM))
            time.sleep(0.05)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield responses
    finally:
        finished.set()
        for thread in threads:
            thread.join()
