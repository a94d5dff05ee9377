"""Why a server or a model does not start, in its own words, from the logs."""

import re
import time
from collections.abc import Sequence

from lightmeter.serve.torchserve.state import ServerDirectory

_MODEL_LOG = "model_log.log"
_DIED = "Backend worker process died."
_TRACEBACK_S = 0.5  # how long a worker may take to write the rest of its traceback
_LOGGED = re.compile(r"W-\d+-(?P<model>\S+)-(?P<stream>stdout|stderr) MODEL_LOG - (?P<text>.*)")
_TRACEBACK = "Traceback"


def diagnose_worker(place: ServerDirectory, model: str = r".+") -> str | None:
    """Return why a model's worker died while it loaded, in the worker's own words, if one did.

    Args:
        place: the server's folder.
        model: a pattern of name and version, as in ``my-run_1.0``.
    """
    if not _crash_logs(place, model):
        return None
    time.sleep(_TRACEBACK_S)
    dead, said = next(iter(_crash_logs(place, model).items()))
    reason = _final_exception(said)
    return f"The model {dead} does not load: {reason or 'it gave no reason'} (log: {place.logs / _MODEL_LOG})."


def _crash_logs(place: ServerDirectory, model: str) -> dict[str, list[str]]:
    """Return what workers said from the time that they died, by name and version of their model."""
    log = place.logs / _MODEL_LOG
    found: dict[str, list[str]] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else ():
        said = _LOGGED.search(line)
        if said and re.fullmatch(model, said["model"]) and (said["model"] in found or _tells_of_death(said)):
            found.setdefault(said["model"], []).append(said["text"])
    return found


def _tells_of_death(said: re.Match[str]) -> bool:
    """Whether a line of the log begins a worker's last words; those that cannot even import write to stderr."""
    return said["text"] == _DIED or (said["stream"] == "stderr" and said["text"].startswith(_TRACEBACK))


def _final_exception(said: Sequence[str]) -> str | None:
    """Return the exception that the first of some tracebacks, with those that led to it, ends with."""
    raised, inside = None, False
    for text in said:
        if text == _DIED and raised:  # again: TorchServe tries over and over
            break
        if text.startswith(_TRACEBACK):
            inside = True
        elif inside and not text.startswith(" "):
            raised, inside = text.rstrip("."), False
    return raised


def java_error(place: ServerDirectory) -> str:
    """Return why Java ended, from what it wrote."""
    lines = (place.logs / "console.log").read_text(encoding="utf-8", errors="replace").split("\n")
    told = [line for line in lines if re.search(r"Exception|Error|error", line)]
    return (told or [line for line in lines if line.strip()] or ["it said nothing"])[-1].strip()
