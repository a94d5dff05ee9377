"""A process that has imported the commands and forks a process for each one, as imports take most of their time.

    python -m tests.command_server [MODULE ...]

It reads one `ForkRequest` a line, as JSON, and answers with the exit code, the resources that the process used, and what
it did with files; if the request is for the background, with the number of the process. The number of such a process is
answered with its exit code, or null while it runs. More modules to import first may be named.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from multiprocessing import resource_tracker, util
from pathlib import Path
from typing import Any, NoReturn

from lightmeter import plugins
from lightmeter.cli import main

MODULES = (
    *(
        f"lightmeter.harvest.{name}"
        for name in ("commands.catalogue", "commands.inspect", "crawl.runs", "catalogue.export.export")
    ),
    *(f"scrapy.{name}" for name in ("core.downloader.handlers.http11", "core.scheduler", "pqueues", "squeues")),
    *(f"scrapy.{name}" for name in ("logformatter", "statscollectors")),
    *(
        f"scrapy.downloadermiddlewares.{name}"
        for name in ("defaultheaders", "downloadtimeout", "httpproxy", "redirect", "retry", "useragent")
    ),
    *(
        f"scrapy.spidermiddlewares.{name}"
        for name in ("depth", "httperror", "metacopy", "referer", "start", "urllength")
    ),
    *(
        f"lightmeter.harvest.filters.{name}"
        for name in ("borders", "faces", "monochrome", "perceptual_hash", "quality")
    ),
    *(f"lightmeter.harvest.commands.{name}" for name in ("harvest", "runs", "watch")),
    *(f"lightmeter.harvest.{name}" for name in ("catalogue.query.parser", "catalogue.statistics", "filters.rescan")),
    *("alembic.command", "psycopg", "rich.progress"),
)
_CHANGES = frozenset(
    f"os.{name}" for name in ("rename", "remove", "rmdir", "mkdir", "link", "symlink", "truncate", "chmod", "utime")
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass
class ForkRequest:
    """A command to run in a process of its own.

    Attributes:
        args: Arguments of ``lightmeter``.
        folder: Working directory.
        environment: Environment variables.
        output: File for the standard output.
        error: File for the standard error.
        timeout_s: Time after which the process and its workers are killed.
        kill_at: Step at which the process is killed: a change of a file or a statement of SQL, counted from 1; 0: never.
        kill_after_s: Time after which the process alone is killed; 0: never.
        observed: Whether to count the steps and to list the changed files.
        function: ``MODULE:NAME`` of a function that is called with the arguments, instead of ``lightmeter``; it returns
            an exit code.
        background: Whether to go on with the next request while it runs, without limits and observation.
    """

    args: list[str]
    folder: str
    environment: dict[str, str]
    output: str
    error: str
    timeout_s: int = 300
    kill_at: int = 0
    kill_after_s: float = 0.0
    observed: bool = False
    function: str = ""
    background: bool = False


@dataclass
class ForkResult:
    """How a process ended; memory is counted beyond the imported modules.

    Attributes:
        pid: Its number, which is also that of the group of its worker processes.
        code: Exit code; negative for a signal.
        cpu_s: Processor time, with that of its ended children.
        memory_mb: Largest memory of the process, or of one of its children.
        steps: Number of steps, as `ForkRequest.kill_at` counts them.
        changed: Paths of the files that it created, changed or removed.
    """

    pid: int
    code: int
    cpu_s: float
    memory_mb: float
    steps: int = 0
    changed: list[str] = field(default_factory=list)


def serve() -> None:
    """Answer requests until the standard input is closed."""
    for module in (*MODULES, *filter(find_spec, ("onnxruntime", "s3fs")), *sys.argv[1:]):
        importlib.import_module(module)
    for source in plugins.installed("sources").values():
        source.load()
    os.fsync = lambda _: None  # what tests write need not survive a power failure
    _fork_servers_of_workers()
    resource_tracker.ensure_running()
    gc.freeze()  # the collector of a forked process would copy all of this
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(request: Any) -> Any:
    if isinstance(request, int):
        pid, status = os.waitpid(request, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None
    command = ForkRequest(**request)
    return _start(command) if command.background else asdict(fork(command))


def _start(request: ForkRequest) -> int:
    process = os.fork()
    if not process:
        os._exit(run(request, os.open(os.devnull, os.O_WRONLY)))
    return process


def fork(request: ForkRequest) -> ForkResult:
    """Run a command in a forked process."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        os._exit(run(request, writing))  # sys.exit would free all objects, and copy their pages first
    os.close(writing)
    _set_timer(request, process)
    with os.fdopen(reading, encoding="utf-8", errors="surrogateescape") as report:
        lines = report.read().splitlines()
    _, status, usage = os.wait4(process, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    before_kb = int(lines[0]) if lines else 0
    return ForkResult(
        process,
        os.waitstatus_to_exitcode(status),
        usage.ru_utime + usage.ru_stime,
        (usage.ru_maxrss - before_kb) / 1024,
        int(lines[1]) if len(lines) > 1 else 0,
        lines[2:],
    )


def run(request: ForkRequest, report: int) -> int:
    """Run a command with its standard output and error in files."""
    os.setpgid(0, 0)
    os.set_inheritable(report, False)
    os.write(report, f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n".encode())
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    tempfile.tempdir = None  # read TMPDIR again
    for name, standard in ((os.devnull, sys.stdin), (request.output, sys.stdout), (request.error, sys.stderr)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), standard.fileno())
    steps: list[str] = []
    if request.observed or request.kill_at:
        _observe(steps, request.kill_at)
    code = _function(request.function)(request.args)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    changed = sorted({step for step in steps if step.startswith("/")})
    os.write(report, "\n".join([str(len(steps)), *changed]).encode(errors="surrogateescape"))
    return code


def _fork_servers_of_workers() -> None:
    """Let each command fork the server of its worker processes, which would import all filters anew."""
    start = util.spawnv_passfds

    def fork_server(path: str, args: list[str], descriptors: list[int]) -> int:
        if "forkserver" not in args[-1]:
            return start(path, args, descriptors)
        process = os.fork()
        if not process:
            _serve_workers(args[-1], {0, 1, 2, *descriptors})
        return process

    util.spawnv_passfds = fork_server


def _serve_workers(code: str, descriptors: set[int]) -> NoReturn:
    """Run the code of a server of worker processes with its file descriptors alone."""
    try:
        for entry in list(Path("/proc/self/fd").iterdir()):
            if int(entry.name) not in descriptors:
                with suppress(OSError):  # the one that lists them is closed already
                    os.close(int(entry.name))
        exec(code, {})
    finally:
        os._exit(0)


def _function(name: str) -> Callable[[list[str]], int]:
    if not name:
        return main
    module, _, function = name.partition(":")
    loaded: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    return loaded


def _set_timer(request: ForkRequest, process: int) -> None:
    """Kill the process at its time: alone if that is a trial, with its workers if it takes too long."""
    kill: Callable[[int, int], None] = os.kill if request.kill_after_s else os.killpg

    def on_alarm(*_: Any) -> None:
        kill(process, signal.SIGKILL)

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, request.kill_after_s or request.timeout_s)


def _observe(steps: list[str], kill_at: int) -> None:
    """Record each change of a file and each statement of SQL, and end the process at one of them."""
    from sqlalchemy import Engine, event

    process = os.getpid()

    def step(name: str) -> None:
        if os.getpid() == process:
            steps.append(name)
            if len(steps) == kill_at:
                os.kill(process, signal.SIGKILL)

    def audit(name: str, args: tuple[Any, ...]) -> None:
        if name in _CHANGES or (name == "open" and isinstance(args[2], int) and args[2] & _WRITING):
            path = args[0]
            if isinstance(path, str | bytes | os.PathLike):
                step(str(Path(os.fsdecode(path)).absolute()).replace("\n", "?"))

    sys.addaudithook(audit)
    event.listen(Engine, "before_cursor_execute", lambda *_: step("SQL"))
    event.listen(Engine, "commit", lambda _: step("COMMIT"))


if __name__ == "__main__":
    serve()
