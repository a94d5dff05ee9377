"""Workers: processes on any number of machines that download the pending photographs of all runs."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lightmeter.harvest.catalogue.changes.removal import remove_unnamed
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import RunState
from lightmeter.harvest.crawl.crawler import CrawlPlan, run_crawl
from lightmeter.harvest.crawl.runs import readers_of
from lightmeter.project import Project

_PR_SET_PDEATHSIG = 1  # of prctl(2)


@dataclass(frozen=True, slots=True)
class WorkResult:
    """How the workers of a command ended.

    Attributes:
        state: ``finished`` if nothing is pending, ``stopped`` after SIGTERM or Ctrl-C, ``failed``.
        reason: Why they failed.
        counts: Number of photographs by state.
    """

    state: RunState
    reason: str | None = None
    counts: Counter[str] = field(default_factory=Counter)


def work(project: Project, *, wait: bool = False, metrics: tuple[str, int] | None = None) -> WorkResult:
    """Download pending photographs of all runs in this process, until none is pending or it is stopped.

    Photographs without a host are left to ``harvest run`` unless the catalogue is a file of this machine.

    Args:
        project: The project.
        wait: Whether to wait for new photographs when none is pending.
        metrics: Address and port for Prometheus; None for no metrics.
    """
    engine = open_engine(project)
    local = engine.dialect.name == "sqlite"
    plan = CrawlPlan(
        None, None, readers_of(project, engine, None) if local else {}, files=local, wait=wait, metrics=metrics
    )
    result = run_crawl(project, engine, plan)
    remove_unnamed(engine, project, result.replaced)
    engine.dispose()
    return WorkResult(result.state, result.reason, _finished(result.counts))


def work_in_processes(project: Project, number: int, options: Sequence[Sequence[str]]) -> WorkResult:
    """Run workers in processes of their own; SIGTERM and Ctrl-C are passed on to them once.

    Args:
        project: The project.
        number: Number of workers.
        options: Options of ``harvest work`` for each of them.
    """
    environment = dict(os.environ)
    if not project.settings.inspect.workers:  # the cores are shared
        environment["LIGHTMETER_INSPECT__WORKERS"] = str(max(1, (os.cpu_count() or 1) // number))
    command = [sys.executable, "-m", "lightmeter", "--project", str(project.root), "--json", "--quiet"]
    processes: list[subprocess.Popen[str]] = []
    with _signals_passed_on(processes):
        for index in range(number):
            processes.append(  # noqa: PERF401 - the signal handler sees those that are started
                subprocess.Popen(
                    [*command, "harvest", "work", *options[index]],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                    preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - there are no threads
                )
            )
        results = [_result(process) for process in processes]
    failed = [result for result in results if result.state == RunState.FAILED]
    stopped = any(result.state == RunState.STOPPED for result in results)
    state = RunState.FAILED if failed else RunState.STOPPED if stopped else RunState.FINISHED
    counts = sum((result.counts for result in results), Counter[str]())
    reason = f"{len(failed)} of {number} workers: {failed[0].reason}" if failed else None
    return WorkResult(state, reason, counts)


def _finished(counts: Mapping[str, int]) -> Counter[str]:
    """Return the counts of final states only."""
    return Counter({state: number for state, number in counts.items() if number > 0})


def _result(process: "subprocess.Popen[str]") -> WorkResult:
    """Wait for a process and return its result."""
    output, error = process.communicate()
    if process.returncode < 0:
        return WorkResult(RunState.FAILED, f"killed by {signal.Signals(-process.returncode).name}")
    try:
        document = json.loads(output)
    except ValueError:
        lines = error.strip().splitlines() or [f"exit code {process.returncode}"]
        return WorkResult(RunState.FAILED, lines[-1].removeprefix("Error: ").removesuffix("."))
    return WorkResult(RunState(document["state"]), document["reason"], Counter(document["photographs"]))


@contextmanager
def _signals_passed_on(processes: "list[subprocess.Popen[str]]") -> Iterator[None]:
    """Send SIGTERM to the processes when this one receives SIGTERM or SIGINT."""

    def terminate(*_: Any) -> None:
        for process in processes:
            process.terminate()

    previous = {number: signal.signal(number, terminate) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end_with_parent() -> None:
    """Let the kernel stop this process gracefully when its parent ends."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
