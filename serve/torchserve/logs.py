"""What a server has written."""

import re
from collections import deque

from lightmeter.errors import LightmeterError
from lightmeter.serve.torchserve.state import ServerDirectory

_NOISE = re.compile(r"\[METRICS\]|Backend received inference at|Overriding existing key")


def last_lines(place: ServerDirectory, count: int, *, access: bool = False) -> list[str]:
    """Return the last lines of a server's log, without metrics and the note of every request.

    Args:
        place: the server's folder.
        count: how many lines at most.
        access: the log of requests, instead of the one of models and server.

    Raises:
        LightmeterError: if no such server was ever started.
    """
    file = place.logs / ("access_log.log" if access else "model_log.log")
    if not file.is_file():
        raise LightmeterError(f"The server '{place.name}' has no log; it was never started here.")
    with file.open(encoding="utf-8", errors="replace") as lines:
        return list(deque((line.rstrip("\n") for line in lines if not _NOISE.search(line)), count))
