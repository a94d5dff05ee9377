"""Read a server's logs: their last lines, and the reason why a server or a model did not start."""

import re
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from lightmeter.errors import LightmeterError
from lightmeter.serve.gateway.logs import ACCESS_LOG, MODEL_LOG
from lightmeter.serve.torchserve.log_lines import as_text
from lightmeter.serve.torchserve.state import ServerDirectory

_WORKER_LINE = re.compile(r"(?<!\S)W-\d+-(\S+)-(?:stdout|stderr) MODEL_LOG - (.*)")
_WORKER_DIED = "Backend worker process died."
_TRACEBACK = "Traceback (most recent call last):\n"
_FOLLOW_S = 0.25
_TRACEBACK_S = 0.5  # time for a worker to write the rest of its traceback
_ERRORS = tuple(
    re.compile(pattern)
    for pattern in (
        r"Invalid configuration",
        r"BindException|Address already in use|Failed to bind",
        r"\[(?:ERROR|FATAL) *\]|^Error\b|Exception\b|Error:",
        r"^lightmeter:",
    )
)
_UNRELATED = re.compile(r"\[(?:DEBUG|TRACE|INFO) *\]|shutdown|Shutdown|^Picked up |^\s*at ")
_LOG_PREFIX = re.compile(r"^[\d:T,. -]+\[\w+ *\] (?:\S+ )*?- |^lightmeter: ")
_NOISE = re.compile(r"\[METRICS\]|Backend received inference at|Overriding existing key")


def last_lines(directory: ServerDirectory, count: int, *, access: bool = False) -> list[str]:
    """Return the last lines of a server's log, without metrics and the note of every request.

    Args:
        directory: Directory of the server.
        count: Maximum number of lines.
        access: Read the log of requests instead of the log of models and server.

    Raises:
        LightmeterError: No such server was ever started.
    """
    file = _log_of(directory, access=access)
    if not file.is_file():
        raise LightmeterError(f"No log of server '{directory.name}': it was never started in this project.")
    with file.open(encoding="utf-8", errors="replace") as lines:
        return list(deque((line.rstrip("\n") for line in lines if not _NOISE.search(line)), count))


def follow(directory: ServerDirectory, *, access: bool = False) -> Iterator[str]:
    """Yield the lines that are added to a server's log from now on, also across restarts.

    Args:
        directory: Directory of the server.
        access: Read the log of requests instead of the log of models and server.
    """
    file = _log_of(directory, access=access)
    position, rest = file.stat().st_size if file.exists() else 0, ""
    while True:
        time.sleep(_FOLLOW_S)
        if not file.exists():
            continue
        if file.stat().st_size < position:  # a new log
            position, rest = 0, ""
        with file.open("rb") as log:
            log.seek(position)
            content = log.read()
        position += len(content)
        *lines, rest = (rest + content.decode("utf-8", "replace")).split("\n")
        yield from (line for line in lines if not _NOISE.search(line))


def _log_of(directory: ServerDirectory, *, access: bool) -> Path:
    return directory.logs / (ACCESS_LOG if access else MODEL_LOG)


def diagnose_worker(directory: ServerDirectory, model: str | None = None) -> str | None:
    """Return why the worker of a model died while loading, or None if no worker died.

    Args:
        directory: Directory of the server.
        model: Name and version, as in ``my-run_1.0`` (default: any model).
    """
    if not _tracebacks(directory, model):
        return None
    time.sleep(_TRACEBACK_S)
    name, text = next(iter(_tracebacks(directory, model).items()))
    log = directory.logs / MODEL_LOG
    return f"Model {name} failed to load: {_final_exception(text)} (log: {log})."


def _tracebacks(directory: ServerDirectory, model: str | None) -> dict[str, str]:
    """Return the output of each model's workers from the first traceback on."""
    log = directory.logs / MODEL_LOG
    output: dict[str, str] = {}
    content = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    for name, line in _WORKER_LINE.findall("\n".join(map(as_text, content.splitlines()))):
        output[name] = output.get(name, "") + line + "\n"
    return {
        name: text.partition(_TRACEBACK)[2]
        for name, text in output.items()
        if _TRACEBACK in text and model in {None, name}
    }


def _final_exception(text: str) -> str:
    """Return the exception that ends the last of the chained tracebacks of one worker."""
    first_worker = text.partition(_WORKER_DIED)[0]  # TorchServe starts another worker, which fails likewise
    last_traceback = first_worker.split(_TRACEBACK)[-1]
    return next((line.rstrip(".") for line in last_traceback.splitlines() if not line.startswith(" ")), "unknown error")


def first_error(directory: ServerDirectory) -> str:
    """Return the first error that a server wrote before it ended; later ones are often consequences of it."""
    file = directory.logs / "console.log"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _UNRELATED.search(line)]
    for pattern in _ERRORS:
        if error := next((line for line in lines if pattern.search(line)), None):
            return _LOG_PREFIX.sub("", error).removesuffix(".")
    return (lines or ["no output"])[0]
